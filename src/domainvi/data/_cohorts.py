"""Cohorts to try things on: a real one that comes with the package, and ones with planted truth."""

from __future__ import annotations

from importlib.resources import as_file, files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import anndata as ad
import numpy as np
import pandas as pd

from domainvi.errors import InputError
from domainvi.metrics import cramers_v

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNLABELED = "Unknown"
# The arguments of synthetic_cohorts.
_Design = SimpleNamespace

# Standard deviations at domain_effect=1, in natural log units: of the fold change that the markers
# of a class share, of the one that is a gene's own, and of the stretch of class differences.
_PROGRAM_SD = 0.5
_GENE_SD = 0.3
_STRETCH_SD = 0.1
_BASELINE_SD = 1.0
_LIBRARY_SD = 0.3

# Of synthetic_factors: levels of each column, what they are, parts that no column names, and the
# mean log-rate.
_LEVELS = {"tissue": 4, "state": 2, "platform": 2, "study": 3}
_GROUPS = {"biological": ["tissue", "state"], "technical": ["platform", "study"]}
_N_PROGRAMS = 3
_BASELINE_LOG = 4.0


def cohorts() -> ad.AnnData:
    """Load tumours that TCGA measured on two platforms: RNA-seq and microarray.

    391 tumours of four types, 202 with RNA-seq and 189 with Agilent arrays, and the 1500 genes that
    vary most within a platform. Both platforms are on a log2 scale, but RNA-seq as abundance and
    the arrays as a ratio to a reference pool, so that a classifier trained on one and applied to
    the other is near chance unless the shift is dealt with. The class proportions differ as well.

    Returns
    -------
    AnnData with a dense float32 ``X`` (391 x 1500), gene symbols as ``var_names``, and in ``obs``

    - ``cohort``: ``"rnaseq"`` or ``"agilent"``, the domain;
    - ``cancer_type``: ``"KIRC"``, ``"KIRP"``, ``"LUAD"`` or ``"CRC"`` (TCGA studies COAD and READ
      together);
    - ``tcga_study``: the study, with COAD and READ apart;
    - ``sex``: ``"female"`` or ``"male"``; ``age``: years, whole;
    - ``patient``: TCGA's code; ten patients are on both platforms (``patient_in_both``), so that
      splits should keep a patient's rows together.

    ``uns["provenance"]`` names studies, units, source repositories with commits, and licence.

    Notes
    -----
    The values are public: TCGA level 3, open access. They are stored in single precision, exactly
    as in the collection that the file was made from. The RNA-seq values are ``log2(x + 1)`` of
    normalised, rounded expression, not of raw counts.

    Examples
    --------
    >>> adata = dv.data.cohorts()
    >>> adata.shape
    (391, 1500)
    >>> adata.obs["cohort"].value_counts().to_dict()
    {'rnaseq': 202, 'agilent': 189}
    >>> sorted(adata.obs["cancer_type"].cat.categories)
    ['CRC', 'KIRC', 'KIRP', 'LUAD']
    """
    with as_file(files("domainvi.data") / "files" / "cohorts.h5ad") as path:
        return ad.read_h5ad(path)


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
) -> ad.AnnData:
    """Draw cohorts in which class, domain and their dependence are known.

    Each class raises genes of its own (its markers). Each domain but the first multiplies every
    gene by a factor, part of which the markers of one class share, and stretches class differences
    by another. So a domain can look like a class, but markers stay markers: aligning the domains
    recovers the classes. Counts are negative binomial given a log-normal library size; log values
    are their logarithm after scaling to ``library_size``.

    Parameters
    ----------
    n_obs
        Number of rows over all domains, which are of equal size.
    n_genes
        Number of genes, at least ``n_classes * n_markers``.
    n_classes
        Number of classes.
    n_domains
        Number of domains.
    n_markers
        Number of marker genes of each class.
    values
        ``"counts"`` for whole numbers, ``"log"`` for ``log1p`` of the scaled counts.
    domain_effect
        Strength of the shift. The natural log fold changes between domains have a standard
        deviation of half of it over the classes' markers and of 0.3 of it for each gene alone. At
        3 a linear classifier trained on one domain fails on another.
    class_effect
        Natural log fold change of a marker in its class.
    class_mix_shift
        How different the class proportions of the domains are: 0 all uniform, 1 each domain has a
        class order of its own and each class is half as frequent as the one before.
    confounding
        How far the class is tied to the domain. Cramér's V of both is about this number where one
        of ``n_classes``, ``n_domains`` divides the other and the other shifts of classes are off;
        at 1 class and domain cannot be told apart.
    labelled_domains
        Number of domains, from the first, whose labels are given.
    missing_class_in_target
        Whether the first class is absent from all domains without labels.
    unknown_class_in_target
        Whether the last class is absent from all domains with labels.
    library_size
        Median number of counts of a row.
    dispersion
        Overdispersion of the counts: their variance is ``mean + dispersion * mean ** 2``.
    seed
        Seed of the generator.

    Returns
    -------
    AnnData with float32 values, in ``obs`` the categorical columns ``"domain"``, ``"label"``
    (``"Unknown"`` where it is not given) and ``"label_true"``; in ``var`` the class that each gene
    marks (``"marker_of"``, ``""`` for none) and for each domain its log fold change from the first
    (``"shift_<domain>"``); in ``uns["truth"]`` the arguments, ``"class_counts"`` (domains x
    classes) and the measured ``"cramers_v"`` (bias-corrected). It can be written as h5ad.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> adata = dv.data.synthetic_cohorts(n_obs=100, n_classes=2, confounding=1.0)
    >>> adata.uns["truth"]["class_counts"].tolist()
    [[50, 0], [0, 50]]
    """
    design = _Design(**locals())
    _check_design(design)
    rng = np.random.default_rng(seed)
    domain, label = _draw_rows(design, rng)
    marker_of, shift, stretch = _draw_genes(design, rng)
    is_marker = label[:, None] == marker_of
    log_rate = class_effect * is_marker * stretch[domain] + shift[domain]
    log_rate += rng.normal(scale=_BASELINE_SD, size=n_genes)
    counts = _draw_counts(log_rate, design, rng)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    matrix = counts if values == "counts" else np.log1p(counts / totals * library_size)
    return ad.AnnData(
        matrix.astype(np.float32),
        obs=_obs(design, domain, label),
        var=_var(design, marker_of, shift),
        uns={"truth": _truth(design, domain, label)},
    )


def _check_design(design: _Design) -> None:
    ranges = {
        "n_classes": (2, np.inf),
        "n_domains": (1, np.inf),
        "n_markers": (1, np.inf),
        "n_genes": (design.n_classes * design.n_markers, np.inf),
        "n_obs": (design.n_classes * design.n_domains, np.inf),
        "labelled_domains": (1, design.n_domains),
        "domain_effect": (0, np.inf),
        "class_effect": (0, np.inf),
        "dispersion": (0, np.inf),
        "class_mix_shift": (0, 1),
        "confounding": (0, 1),
        "library_size": (1, np.inf),
    }
    for name, (least, most) in ranges.items():
        value = getattr(design, name)
        if not least <= value <= most:
            msg = f"{name}={value!r} is out of range; expected {least} to {most}."
            raise InputError(msg)
    if design.values not in {"counts", "log"}:
        msg = f"values={design.values!r} is unknown; expected 'counts' or 'log'."
        raise InputError(msg)
    moves_class = design.missing_class_in_target or design.unknown_class_in_target
    if moves_class and design.labelled_domains == design.n_domains:
        msg = (
            f"labelled_domains={design.labelled_domains} leaves no target among n_domains="
            f"{design.n_domains}, so that no class can be missing or unknown in it."
        )
        raise InputError(msg)


def _draw_rows(
    design: _Design, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Domain and class of each row: exact shares, in random order."""
    sizes = _round_shares(np.full(design.n_domains, 1 / design.n_domains), design.n_obs)
    shares = _without_moved_classes(_class_shares(design), design)
    counts = [_round_shares(share, size) for share, size in zip(shares, sizes, strict=True)]
    domain = np.repeat(np.arange(design.n_domains), sizes)
    label = np.concatenate([np.repeat(np.arange(design.n_classes), count) for count in counts])
    order = rng.permutation(design.n_obs)
    return domain[order], label[order]


def _class_shares(design: _Design) -> NDArray[np.float64]:
    """Share of each class in each domain, before classes are moved; rows sum to 1.

    A shift of 0 means uniform shares, of 1 shares that halve from class to class, from another
    first class in each domain; a confounding of 1 means classes that keep to their domains.
    """
    n_domains, n_classes = design.n_domains, design.n_classes
    shift, confounding = design.class_mix_shift, design.confounding
    halving = 0.5 ** np.arange(n_classes)
    turns = [d * n_classes // n_domains for d in range(n_domains)]
    ordered = np.stack([np.roll(halving, turn) for turn in turns]) / halving.sum()
    shares = (1 - shift) / n_classes + shift * ordered
    return np.asarray((1 - confounding) * shares + confounding * _tied(n_domains, n_classes))


def _round_shares(shares: NDArray[np.float64], total: int) -> NDArray[np.intp]:
    """Whole numbers in these proportions that sum to ``total``."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(np.intp)
    largest = np.argsort(counts - exact, kind="stable")
    counts[largest[: total - counts.sum()]] += 1
    return counts


def _tied(n_domains: int, n_classes: int) -> NDArray[np.float64]:
    """Class shares when classes and domains, laid along one line, keep what they overlap."""
    domain_ends = np.arange(n_domains + 1) / n_domains
    class_ends = np.arange(n_classes + 1) / n_classes
    upper = np.minimum(domain_ends[1:, None], class_ends[None, 1:])
    lower = np.maximum(domain_ends[:-1, None], class_ends[None, :-1])
    overlap = np.maximum(upper - lower, 0)
    overlap[overlap < 1e-12] = 0
    return np.asarray(overlap * n_domains)


def _without_moved_classes(shares: NDArray[np.float64], design: _Design) -> NDArray[np.float64]:
    """Take the missing class out of the target, and the unknown one out of the source."""
    if design.missing_class_in_target:
        shares[design.labelled_domains :, 0] = 0
    if design.unknown_class_in_target:
        shares[: design.labelled_domains, -1] = 0
    totals = shares.sum(axis=1, keepdims=True)
    if not totals.all():
        msg = (
            f"confounding={design.confounding} with a missing or unknown class leaves a domain "
            "without any class; lower it, or use more classes."
        )
        raise InputError(msg)
    return np.asarray(shares / totals)


def _draw_genes(
    design: _Design, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Class that each gene marks (-1 for none), and shift and stretch, ``(n_domains, n_genes)``."""
    marks = np.repeat(np.arange(design.n_classes), design.n_markers)
    n_others = design.n_genes - len(marks)
    marker_of = rng.permutation(np.append(marks, np.full(n_others, -1)))
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
    return {**vars(design), "class_counts": counts, "cramers_v": cramers_v(counts)}


def _names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}_{i}" for i in range(number)]


def synthetic_factors(
    n_obs: int = 600,
    n_genes: int = 200,
    *,
    values: Literal["log", "counts"] = "log",
    effect: float = 1.0,
    noise: float = 0.5,
    confounding: float = 0.0,
    missing: float = 0.0,
    library_size: float = 10_000.0,
    seed: int = 0,
) -> ad.AnnData:
    r"""Draw rows whose log-rate is a sum of a biological, a technical and a residual part.

    .. math:: \eta_{ij} = b_j + e \sum_g \sqrt{v_{gj}}\, c_{gij}

    with parts :math:`c_g` of unit variance over the rows: random effects of the levels of tissue
    and state (biological), of platform and study (technical), and three programmes that no column
    names (residual). The shares :math:`v_{gj}` of a gene are drawn from a Dirichlet distribution.

    Parameters
    ----------
    n_obs, n_genes
        Rows and genes.
    values
        ``"log"`` for the log-rate with normal noise, ``"counts"`` for Poisson counts of it.
    effect
        Standard deviation of the log-rate of every gene.
    noise
        Standard deviation of the noise of log values.
    confounding
        Share of the rows whose platform follows from the state; the others draw it freely.
    missing
        Share of the values of each factor that is missing.
    library_size
        Expected counts of a row.
    seed
        Seed of the generator. Rows are drawn last: with the same seed and number of genes, the
        first rows of a larger draw are not those of a smaller one, but genes behave alike.

    Returns
    -------
    AnnData with ``tissue`` (4 levels), ``state`` (2), ``platform`` (2) and ``study`` (3) in
    ``obs``, the planted shares in ``var["share_biological"]``, ``"share_technical"`` and
    ``"share_residual"``, and the groups in ``uns["factor_groups"]``.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> adata = dv.data.synthetic_factors(n_obs=100, n_genes=20)
    >>> shares = adata.var[["share_biological", "share_technical", "share_residual"]]
    >>> bool(np.allclose(shares.sum(axis=1), 1))
    True
    """
    for name, value in (("confounding", confounding), ("missing", missing)):
        if not 0 <= value <= 1:
            msg = f"{name}={value!r} is out of range; expected 0 to 1."
            raise InputError(msg)
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet([1.0, 1.0, 0.5], size=n_genes)
    effects = {name: rng.normal(size=(n, n_genes)) for name, n in _LEVELS.items()}
    programs = rng.normal(size=(_N_PROGRAMS, n_genes))
    baseline = _BASELINE_LOG + rng.normal(size=n_genes)
    code = {name: rng.integers(n, size=n_obs) for name, n in _LEVELS.items()}
    tied = rng.random(n_obs) < confounding
    code["platform"] = np.where(tied, code["state"], code["platform"])
    parts = [
        _unit_variance(np.sum([effects[name][code[name]] for name in names], axis=0))
        for names in _GROUPS.values()
    ]
    parts.append(_unit_variance(rng.normal(size=(n_obs, _N_PROGRAMS)) @ programs))
    log_rate = baseline + effect * sum(
        np.sqrt(share) * part for share, part in zip(shares.T, parts, strict=True)
    )
    if values == "counts":
        rate = np.exp(log_rate)
        matrix = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * library_size)
    else:
        matrix = log_rate + rng.normal(scale=noise, size=log_rate.shape)
    names = [*_GROUPS, "residual"]
    columns = {f"share_{name}": share for name, share in zip(names, shares.T, strict=True)}
    var = pd.DataFrame(columns, index=[f"gene_{i}" for i in range(n_genes)])
    return ad.AnnData(
        np.asarray(matrix, dtype=np.float32),
        obs=_factor_columns(code, missing, rng),
        var=var,
        uns={"factor_groups": {k: list(v) for k, v in _GROUPS.items()}},
    )


def _unit_variance(part: NDArray[np.float64]) -> NDArray[np.float64]:
    return (part - part.mean(axis=0)) / part.std(axis=0)


def _factor_columns(
    code: dict[str, NDArray[np.int64]], missing: float, rng: np.random.Generator
) -> pd.DataFrame:
    n_obs = len(next(iter(code.values())))
    columns = {}
    for name, n in _LEVELS.items():
        seen = np.where(rng.random(n_obs) < missing, -1, code[name])
        columns[name] = pd.Categorical.from_codes(seen, [f"{name}_{i}" for i in range(n)])
    return pd.DataFrame(columns, index=[f"row_{i}" for i in range(n_obs)])
