"""Cohorts with planted truth, for tests, examples and honest negative results."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from domainvi.errors import InputError
from domainvi.metrics import cramers_v

from ._mixes import class_mixes, round_shares

UNLABELED = "Unknown"

# Standard deviations at domain_effect=1, in natural log units: of the fold change that the markers
# of a class share, of the one that is a gene's own, and of the stretch of class differences.
_PROGRAM_SD = 0.5
_GENE_SD = 0.3
_STRETCH_SD = 0.1
_BASELINE_SD = 1.0
_LIBRARY_SD = 0.3


@dataclass(frozen=True)
class _Design:
    """The checked arguments of `synthetic_cohorts`."""

    n_obs: int
    n_genes: int
    n_classes: int
    n_domains: int
    n_markers: int
    values: str
    domain_effect: float
    class_effect: float
    class_mix_shift: float
    confounding: float
    labelled_domains: int
    missing_class_in_target: bool
    unknown_class_in_target: bool
    library_size: float
    dispersion: float
    seed: int

    def __post_init__(self) -> None:
        for name, least in (
            ("n_classes", 2),
            ("n_domains", 1),
            ("n_markers", 1),
            ("n_genes", self.n_classes * self.n_markers),
            ("n_obs", self.n_classes * self.n_domains),
            ("labelled_domains", 1),
            ("domain_effect", 0),
            ("class_effect", 0),
            ("dispersion", 0),
        ):
            self._check(name, least, np.inf)
        self._check("class_mix_shift", 0, 1)
        self._check("confounding", 0, 1)
        self._check("labelled_domains", 1, self.n_domains)
        self._check("library_size", 1, np.inf)
        if self.values not in {"counts", "log"}:
            msg = f"values={self.values!r} is unknown; expected 'counts' or 'log'."
            raise InputError(msg)
        moves_class = self.missing_class_in_target or self.unknown_class_in_target
        if moves_class and self.labelled_domains == self.n_domains:
            msg = (
                f"labelled_domains={self.labelled_domains} leaves no target among n_domains="
                f"{self.n_domains}, so that no class can be missing or unknown in it."
            )
            raise InputError(msg)

    def _check(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            msg = f"{name}={value!r} is out of range; expected {least} to {most}."
            raise InputError(msg)


def synthetic_cohorts(
    n_obs: int = 600,
    n_genes: int = 200,
    n_classes: int = 4,
    n_domains: int = 2,
    n_markers: int = 10,
    *,
    values: Literal["counts", "log"] = "counts",
    domain_effect: float = 1.0,
    class_effect: float = 1.5,
    class_mix_shift: float = 0.0,
    confounding: float = 0.0,
    labelled_domains: int = 1,
    missing_class_in_target: bool = False,
    unknown_class_in_target: bool = False,
    library_size: float = 10_000.0,
    dispersion: float = 0.2,
    seed: int = 0,
) -> AnnData:
    """Draw cohorts in which class, domain and their dependence are known.

    Each class raises genes of its own (its markers). Each domain but the first multiplies every
    gene by a factor, part of which the markers of one class share, and stretches class differences
    by another. So a domain can look like a class, but markers stay markers: aligning the domains
    recovers the classes. Counts are negative binomial given a log-normal library size; log values
    are their logarithm after scaling to `library_size`.

    Parameters
    ----------
    n_obs
        Number of rows over all domains, which are of equal size.
    n_genes
        Number of genes, at least `n_classes * n_markers`.
    n_classes
        Number of classes.
    n_domains
        Number of domains.
    n_markers
        Number of marker genes of each class.
    values
        `"counts"` for whole numbers, `"log"` for `log1p` of the scaled counts.
    domain_effect
        Strength of the shift. The natural log fold changes between domains have a standard
        deviation of half of it over the classes' markers and of 0.3 of it for each gene alone. At
        3 a linear classifier trained on one domain fails on another.
    class_effect
        Natural log fold change of a marker in its class.
    class_mix_shift
        How different the class mixes of the domains are: 0 all uniform, 1 each domain has a class
        order of its own and each class is half as frequent as the one before.
    confounding
        How far the class is tied to the domain. Cramér's V of both is about this number where one
        of `n_classes`, `n_domains` divides the other and the other mix arguments are off; at 1
        class and domain cannot be told apart.
    labelled_domains
        Number of domains, from the first, whose labels are given.
    missing_class_in_target
        Whether the first class is absent from all domains without labels.
    unknown_class_in_target
        Whether the last class is absent from all domains with labels.
    library_size
        Median number of counts of a row.
    dispersion
        Overdispersion of the counts: their variance is `mean + dispersion * mean ** 2`.
    seed
        Seed of the generator.

    Returns
    -------
    AnnData with float32 values, in `obs` the categorical columns `"domain"`, `"label"`
    (`"Unknown"` where it is not given) and `"label_true"`; in `var` the class that each gene marks
    (`"marker_of"`, `""` for none) and for each domain its log fold change from the first
    (`"shift_<domain>"`); in `uns["truth"]` the arguments, `"class_counts"` (domains x classes) and
    the measured `"cramers_v"` (bias-corrected). It can be written as h5ad.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import domainvi.data as dv_data
    >>> adata = dv_data.synthetic_cohorts(n_obs=100, n_classes=2, confounding=1.0)
    >>> adata.uns["truth"]["class_counts"].tolist()
    [[50, 0], [0, 50]]
    """
    # Every argument is a field of the same name.
    design = _Design(**locals())
    rng = np.random.default_rng(seed)
    domain, label = _draw_rows(design, rng)
    marker_of, shift, stretch = _draw_genes(design, rng)
    is_marker = label[:, None] == marker_of
    log_rate = class_effect * is_marker * stretch[domain] + shift[domain]
    log_rate += rng.normal(scale=_BASELINE_SD, size=n_genes)
    counts = _draw_counts(log_rate, design, rng)
    matrix = counts if values == "counts" else _log_scaled(counts, library_size)
    return AnnData(
        matrix.astype(np.float32),
        obs=_obs(design, domain, label),
        var=_var(design, marker_of, shift),
        uns={"truth": _truth(design, domain, label)},
    )


def _draw_rows(
    design: _Design, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Domain and class of each row: exact shares, in random order."""
    sizes = round_shares(np.full(design.n_domains, 1 / design.n_domains), design.n_obs)
    mixes = class_mixes(
        design.n_domains, design.n_classes, design.class_mix_shift, design.confounding
    )
    counts = [
        round_shares(mix, size)
        for mix, size in zip(_without_moved_classes(mixes, design), sizes, strict=True)
    ]
    domain = np.repeat(np.arange(design.n_domains), sizes)
    label = np.concatenate([np.repeat(np.arange(design.n_classes), count) for count in counts])
    order = rng.permutation(design.n_obs)
    return domain[order], label[order]


def _without_moved_classes(mixes: NDArray[np.float64], design: _Design) -> NDArray[np.float64]:
    """Take the missing class out of the target, and the unknown one out of the source."""
    if design.missing_class_in_target:
        mixes[design.labelled_domains :, 0] = 0
    if design.unknown_class_in_target:
        mixes[: design.labelled_domains, -1] = 0
    totals = mixes.sum(axis=1, keepdims=True)
    if not totals.all():
        msg = (
            f"confounding={design.confounding} with a missing or unknown class leaves a domain "
            "without any class; lower it, or use more classes."
        )
        raise InputError(msg)
    return np.asarray(mixes / totals)


def _draw_genes(
    design: _Design, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Class that each gene marks (-1 for none), and shift and stretch, `(n_domains, n_genes)`."""
    marker_of = np.full(design.n_genes, -1)
    marker_of[: design.n_classes * design.n_markers] = np.repeat(
        np.arange(design.n_classes), design.n_markers
    )
    marker_of = rng.permutation(marker_of)
    shape = (design.n_domains, design.n_genes)
    # Evenly spread, so that the shift between classes is as strong for every seed.
    programs = np.linspace(-1, 1, design.n_classes)
    programs *= _PROGRAM_SD / programs.std()
    shared = np.stack([np.append(rng.permutation(programs), 0) for _ in range(design.n_domains)])
    shift = design.domain_effect * (shared[:, marker_of] + rng.normal(scale=_GENE_SD, size=shape))
    stretch = np.exp(rng.normal(scale=_STRETCH_SD * design.domain_effect, size=shape))
    shift[0], stretch[0] = 0, 1
    return marker_of, shift, stretch


def _draw_counts(
    log_rate: NDArray[np.float64], design: _Design, rng: np.random.Generator
) -> NDArray[np.float64]:
    rate = np.exp(log_rate - log_rate.max(axis=1, keepdims=True))
    depth = design.library_size * np.exp(rng.normal(scale=_LIBRARY_SD, size=(len(rate), 1)))
    mean = rate / rate.sum(axis=1, keepdims=True) * depth
    if design.dispersion:
        mean = rng.gamma(1 / design.dispersion, mean * design.dispersion)
    return np.asarray(rng.poisson(mean), dtype=np.float64)


def _log_scaled(counts: NDArray[np.float64], library_size: float) -> NDArray[np.float64]:
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.log1p(counts / total * library_size))


def _obs(design: _Design, domain: NDArray[np.intp], label: NDArray[np.intp]) -> pd.DataFrame:
    domains, classes = _names("domain", design.n_domains), _names("class", design.n_classes)
    truth = pd.Categorical.from_codes(label, classes)
    given = np.where(domain < design.labelled_domains, np.array(classes)[label], UNLABELED)
    columns = {
        "domain": pd.Categorical.from_codes(domain, domains),
        "label": pd.Categorical(given),
        "label_true": truth.remove_unused_categories(),
    }
    return pd.DataFrame(columns, index=_names("row", len(domain)))


def _var(design: _Design, marker_of: NDArray[np.intp], shift: NDArray[np.float64]) -> pd.DataFrame:
    names = [*_names("class", design.n_classes), ""]
    columns: dict[str, Any] = {
        "marker_of": pd.Categorical.from_codes(marker_of % len(names), names)
    }
    for name, values in zip(_names("domain", design.n_domains), shift, strict=True):
        columns[f"shift_{name}"] = values
    return pd.DataFrame(columns, index=_names("gene", design.n_genes))


def _truth(design: _Design, domain: NDArray[np.intp], label: NDArray[np.intp]) -> dict[str, Any]:
    counts = np.zeros((design.n_domains, design.n_classes), dtype=np.int64)
    np.add.at(counts, (domain, label), 1)
    return {**asdict(design), "class_counts": counts, "cramers_v": cramers_v(counts)}


def _names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}_{i}" for i in range(number)]
