"""Latents and class scores of rows, of the training cohorts or of others."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS

from domainvi._checks import check_positive
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import MODALITIES, ScalingNote, row_blocks, row_loader
from domainvi.errors import InputError
from domainvi.module import OPTIONAL_PARTS, RowReader
from domainvi.train import extend_statistics, modalities_of
from domainvi.trust import row_softmax

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.module import Embedding, PhenotypeScores, ScalingStatistics

    from ._domainvi import DomainVI

    Embedded = tuple[NDArray[np.int64], torch.Tensor, Embedding, PhenotypeScores | tuple[()]]

logger = logging.getLogger(__name__)

# Values of the rows that are read at once; fewer where their zeros are stored.
INFERENCE_VALUES = 2**23
DENSE_VALUES = 2**21
# Rows at a time of models with several modalities.
INFERENCE_BATCH = 2048
# What a RowOutputs may go without: with many rows and classes each takes as much as the answer.
ALL_PARTS = (*OPTIONAL_PARTS, "network", "linear")


@dataclass(frozen=True)
class RowOutputs:
    """A model's answer for rows.

    Parameters
    ----------
    mean, variance
        Moments of ``q(z | x)``, shape ``(n_rows, n_latent)``; the variance ``(n_rows, 0)`` where
        it is not needed.
    logits
        Uncalibrated log-probabilities of the classes, shape ``(n_rows, n_classes)``.
    network, linear
        Those of the network and of the linear members alone; ``(n_rows, 0)`` where they are not
        needed.
    reference
        Un-adapted components, shape ``(n_rows, 30 n_modalities)``; ``(n_rows, 0)`` where they are
        not needed.
    phenotype_network, phenotype_linear
        Raw scores of the auxiliary phenotypes, shape ``(n_rows, n_outputs)``.
    latent
        The mean, centred by class and domain where the model centres.
    pattern
        Number of the set of modalities of each row, shape ``(n_rows,)``; 0 if there is only one.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    logits: NDArray[np.float32]
    network: NDArray[np.float32]
    linear: NDArray[np.float32]
    reference: NDArray[np.float32]
    phenotype_network: NDArray[np.float32]
    phenotype_linear: NDArray[np.float32]
    latent: NDArray[np.float32]
    pattern: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64] | slice) -> RowOutputs:
        """Return some of the rows."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def by_pattern(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each pattern with the numbers of its rows."""
        for pattern in np.unique(self.pattern):
            yield int(pattern), np.flatnonzero(self.pattern == pattern)


def patterns(n_modalities: int) -> list[NDArray[np.bool_]]:
    """Every set of modalities, the whole one last, in the order of their numbers.

    Examples
    --------
    >>> from domainvi.model._inference import patterns
    >>> [p.tolist() for p in patterns(2)]
    [[True, False], [False, True], [True, True]]
    """
    bits = 1 << np.arange(n_modalities)
    return [(i & bits) > 0 for i in range(1, 1 << n_modalities)]


def labels_of(model: DomainVI, prepared: PreparedAnnData) -> NDArray[np.int64]:
    """Class codes of all rows, -1 where unlabelled."""
    label = prepared.codes(REGISTRY_KEYS.LABELS_KEY)
    known = label < len(model.classes)
    if prepared.hidden is not None:
        known &= ~prepared.hidden
    return np.where(known, label, -1)


def outputs(
    model: DomainVI,
    adata: AnnData | MuData | None,
    indices: Sequence | NDArray | None,
    batch_size: int | None = None,
    *,
    wanted: tuple[str, ...] = (),
    centre: bool = True,
) -> RowOutputs:
    """Run encoder and classifiers of a trained model; rows come back in the order asked for."""
    model._check_trained()
    check_positive(batch_size=batch_size)
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    run = partial(forward, model, prepared, batch_size=batch_size, wanted=wanted)
    if model.fitted.centring is None or not centre:
        return run(rows)
    domain = prepared.domain
    if (domain[rows] < n_centred(model)).all():
        return centred(model, run(rows), domain[rows])
    # A new cohort is centred by all of its rows, whichever of them are asked for.
    return centred(model, run(None), domain).take(rows)


def n_centred(model: DomainVI) -> int:
    """Domains whose centring is known; later ones are centred by all of their rows."""
    centring = model.fitted.centring
    n_patterns = 2 ** len(model.module.modalities.parts) - 1
    return 0 if centring is None else len(centring.shift) // n_patterns


def centred(model: DomainVI, out: RowOutputs, domain: NDArray[np.int64]) -> RowOutputs:
    """Centre latents by class and domain, each pattern by itself."""
    if model.fitted.centring is None:
        return out
    # Cells as in the fit, and behind them those of new domains.
    known, n_patterns = n_centred(model), 2 ** len(model.module.modalities.parts) - 1
    cell = np.where(domain < known, out.pattern * known + domain, n_patterns * domain + out.pattern)
    return replace(out, latent=model.fitted.centring.apply(out.mean, out.logits, cell))


@torch.inference_mode()
def forward(
    model: DomainVI,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64] | None,
    batch_size: int | None = None,
    *,
    wanted: tuple[str, ...] = ALL_PARTS,
) -> RowOutputs:
    """Run encoder and classifiers on rows, trained or not, without centring."""
    rows = np.arange(prepared.n_obs) if rows is None else rows
    model.module.eval()
    pattern = np.zeros(len(rows), dtype=np.int64)
    if MODALITIES in prepared.obsm:
        has = np.asarray(prepared.obsm[MODALITIES])[rows] > 0
        pattern = has @ (1 << np.arange(has.shape[1])) - 1
    return gathered(model, embedded(model, prepared, rows, batch_size, wanted), pattern, wanted)


def gathered(
    model: DomainVI,
    blocks: Iterable[Embedded],
    pattern: NDArray[np.int64],
    wanted: tuple[str, ...],
) -> RowOutputs:
    """Put blocks of embedded rows together; ``pattern`` has one number for each row."""
    module = model.module
    n, k = module.n_latent, module.n_classes
    origins = [part.reference_origin for part in module.modalities.parts.values()]
    n_variance = n if "variance" in wanted else 0
    n_reference = sum(map(len, origins)) if "reference" in wanted else 0
    n_scores = sum(p.n_outputs for p in model.phenotypes)
    n_network, n_linear = (k if name in wanted else 0 for name in ("network", "linear"))
    widths = (n, n_variance, k, n_network, n_linear, n_reference, n_scores, n_scores)
    out = [np.empty((len(pattern), width), dtype=np.float32) for width in widths]
    for places, domain, e, scores in blocks:
        logits = module.ensemble(e.network, e.linear, domain)
        parts = (e.mean, e.variance, logits, e.network, e.linear, e.reference, *scores)
        # Without auxiliary phenotypes there are no scores to write.
        for whole, part in zip(out, parts, strict=False):
            if whole.shape[1]:
                whole[places] = part.cpu().numpy()
    names = [f.name for f in fields(RowOutputs)]
    values: list[Any] = [*out, out[0], pattern]
    return RowOutputs(**dict(zip(names, values, strict=True)))


def embedded(
    model: DomainVI,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    batch_size: int | None,
    wanted: tuple[str, ...],
) -> Iterator[Embedded]:
    """Yield embeddings of some rows at a time: places in ``rows``, domain codes, outputs."""
    module, statistics = model.module, scaling_statistics(model, prepared)
    if MODALITIES in prepared.obsm:
        start = 0
        for tensors in row_loader(prepared.manager, rows, batch_size or INFERENCE_BATCH):
            inputs = module._get_inference_input(tensors)
            e = module.embed(**inputs, statistics=statistics)
            spare = [name for name in OPTIONAL_PARTS if name not in wanted]
            e = e._replace(**dict.fromkeys(spare, e.mean[:, :0]))
            domain = inputs["batch_index"].squeeze(-1).long().to(e.mean.device)
            yield np.arange(start, start + len(domain)), domain, e, ()
            start += len(domain)
        return
    factors = prepared.size_factors(rows)
    yield from embedded_rows(
        model, prepared.X, rows, prepared.domain, factors, statistics, batch_size, wanted
    )


def embedded_rows(
    model: DomainVI,
    x: Any,
    rows: NDArray[np.int64],
    domain: NDArray[np.int64],
    factors: NDArray[np.float32] | None,
    statistics: Mapping[str, ScalingStatistics] | None,
    batch_size: int | None,
    wanted: tuple[str, ...],
) -> Iterator[Embedded]:
    """Yield what :func:`embedded` does of a matrix of one modality, with the genes of the model.

    ``domain`` has the codes of all rows, ``factors`` those of the chosen ones.
    """
    reader = RowReader(model.module, statistics, wanted=wanted)
    n_values = DENSE_VALUES if isinstance(x, np.ndarray) else INFERENCE_VALUES
    size = batch_size or max(256, n_values // x.shape[1])
    for places, d, block in row_blocks(x, rows, domain, size):
        factor = None if factors is None else factors[places]
        e = reader.embed(block, d, factor)
        scores = reader.score_phenotypes(e.mean, block, d, factor) if model.phenotypes else ()
        yield places, torch.full((len(places),), d, device=e.mean.device), e, scores


def scaling_statistics(
    model: DomainVI, prepared: PreparedAnnData
) -> Mapping[str, ScalingStatistics] | None:
    """Scaling by modality for rows that the stored one does not serve: new domains, missing genes.

    What was done with each new cohort is noted on ``prepared`` in words.
    """
    domain, n_known = prepared.domain, len(model.domains)
    if domain.max(initial=0) < n_known and prepared.gene_mask.all():
        return None
    levels = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY).categorical_mapping
    statistics: dict[str, ScalingStatistics] = {}
    notes: dict[str, list[ScalingNote]] = {}
    parts = list(modalities_of(model.module, prepared))
    for name, part, has in parts:
        if has.any() or len(parts) == 1:
            own = np.where(has, domain, 0)
            statistics[name], found = extend_statistics(model.module, name, part, own)
            prefix = f"{name}: " if len(parts) > 1 else ""
            for d in np.unique(own[own >= n_known]):
                note = found[d - n_known]
                note = note._replace(said=f"{prefix}{note.said}")
                notes.setdefault(str(levels[d]), []).append(note)
    for cohort, of_parts in notes.items():
        said = "; ".join(note.said for note in of_parts)
        share = max(note.row_wise_share for note in of_parts)
        prepared.scaling_notes[cohort] = ScalingNote(said, share)
        logger.info("Cohort %r was not in training: %s.", cohort, said)
    return statistics


def probabilities(
    model: DomainVI, out: RowOutputs, *, calibrated: bool = True
) -> NDArray[np.float64]:
    """Class probabilities in the order of the codes, shape ``(n_rows, n_classes)``."""
    calibration = model.fitted.calibration
    if not calibrated or not calibration or not len(out.logits):
        return row_softmax(out.logits)
    # Rows whose pattern no training row had are calibrated as those with the most modalities.
    p = calibration[max(calibration)].apply(out.logits)
    for pattern, rows in out.by_pattern():
        if pattern in calibration and pattern != max(calibration):
            p[rows] = calibration[pattern].apply(out.logits[rows])
    return p


def restricted(
    model: DomainVI, p: NDArray[np.float64], classes: Sequence[str] | None
) -> NDArray[np.float64]:
    """Give probabilities to some classes only, so that those of each row sum to 1 again."""
    if classes is None:
        return p
    chosen = [classes] if isinstance(classes, str) else list(classes)
    if not chosen or (unknown := [c for c in chosen if c not in model.classes]):
        known = ", ".join(model.classes)
        said = f"has {', '.join(map(repr, unknown))}" if chosen else "is empty"
        msg = f"classes {said}; the model's {len(model.classes)} classes are {known}. Name some."
        raise InputError(msg)
    # No probability is 0, so that a row of which the others are sure is divided by something.
    kept = np.where(np.isin(model.classes, chosen), np.maximum(p, 1e-300), 0.0)
    return kept / kept.sum(axis=1, keepdims=True)


def level_number(model: DomainVI, target: str | None) -> int | None:
    """Find the number of the level that ``target`` names; ``None`` if it is of another phenotype.

    Without a tree the main phenotype has one level.
    """
    levels = [model.registry_[SETUP_ARGS_KEY]["labels_key"]]
    if model.label_tree is not None:
        levels = list(model.label_tree.levels)
    if target is None:
        return len(levels) - 1
    return levels.index(target) if target in levels else None


def best_names(model: DomainVI, p: NDArray[np.float64], level: int) -> NDArray[np.str_]:
    """Likeliest name of each row at a level; columns of ``p`` are the classes by code."""
    if model.label_tree is None:
        return np.asarray(model.classes)[p.argmax(axis=1)]
    return model.label_tree.path(p, model.classes)[0][:, level].astype(str)


def at_level(model: DomainVI, by_class: pd.DataFrame, level: int) -> pd.DataFrame:
    """Sum probabilities of classes to those of the names at a level."""
    tree, classes = model.label_tree, list(by_class)
    if tree is None or level == len(tree.levels) - 1:
        return by_class
    total = by_class.to_numpy() @ tree.membership(level, classes)
    return pd.DataFrame(total, index=by_class.index, columns=tree.names(level, classes))


def unadapted(model: DomainVI, out: RowOutputs, pattern: int) -> NDArray[np.float32]:
    """Components that neither centring nor alignment nor teaching can move to a known class.

    They are those of the modalities of the pattern.
    """
    parts = list(model.module.modalities.parts.values())
    visible = patterns(len(parts))[pattern]
    widths = [len(part.reference_origin) for part in parts]
    return out.reference if visible.all() else out.reference[:, np.repeat(visible, widths)]


def unknown_p_values(
    model: DomainVI, prepared: PreparedAnnData, out: RowOutputs
) -> NDArray[np.float64]:
    """P-value of each row for belonging to any known class; NaN where it was not tested."""
    domain, p = prepared.domain, np.full(len(out.mean), np.nan)
    for pattern, rows in out.by_pattern():
        if (scorer := model.fitted.unknown.get(pattern)) is not None:
            own = out if len(rows) == len(p) else out.take(rows)
            p[rows] = scorer.p_value(unadapted(model, own, pattern), domain=domain[rows])
    return p
