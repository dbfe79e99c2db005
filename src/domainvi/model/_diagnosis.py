"""Beside the predictions: sets of classes, rows to label next, how domains can be told apart."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi import _keys
from domainvi._checks import check_seed, check_sizes
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import MODALITIES, ScalingNote
from domainvi.errors import InputError
from domainvi.metrics import domain_probe
from domainvi.trust import (
    SMALL_COHORT,
    Flagged,
    check_set_alpha,
    find_cautions,
    row_softmax,
    suggest_rows,
    texts,
)

from ._inference import labels_of, outputs, probabilities, restricted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI
    from ._inference import RowOutputs

# Folds of a probe; cohorts with fewer rows of a class have no part in that of the class.
N_FOLDS = 5


def diagnose(model: DomainVI, seed: int) -> pd.DataFrame:
    """Probe components and latents within classes; see :meth:`domainvi.DomainVI.diagnose`."""
    if len(model.domains) == 1:
        msg = (
            f"diagnose compares domains, and the model has one, {model.domains[0]!r}. Train on the "
            "rows of two or more, with a batch_key that names them."
        )
        raise InputError(msg)
    prepared = model._validate_anndata()
    out = outputs(model, prepared, None, wanted=("reference",))
    domain, label = prepared.domain, labels_of(model, prepared)
    label = np.where(label >= 0, label, out.logits.argmax(axis=1))
    spaces = {"input": out.reference, "latent": out.latent}
    probes = {
        k: domain_probe(z, domain, label, n_splits=N_FOLDS, seed=seed) for k, z in spaces.items()
    }
    rows: dict[str, dict[str, float]] = {}
    for c, chance in probes["input"].per_class_chance.items():
        inside = label == c
        inside &= np.bincount(domain[inside], minlength=domain.max() + 1)[domain] >= N_FOLDS
        row = {"n_rows": inside.sum(), "chance": chance}
        for name, z in spaces.items():
            row[f"probe_{name}"] = probes[name].per_class[c]
            row[f"a_distance_{name}"] = probes[name].per_class_a_distance[c]
            row[f"shift_{name}"] = centroid_shift(z[inside], domain[inside])
        rows[model.classes[c]] = row
    measures = [f"{measure}_{k}" for measure in ("probe", "a_distance", "shift") for k in spaces]
    table = pd.DataFrame(rows, index=["n_rows", "chance", *measures], dtype=float).T
    mean = table.mean().to_frame("mean").T.assign(n_rows=len(label))
    return pd.concat([table, mean]).astype({"n_rows": int})


def centroid_shift(z: NDArray[np.float32], domain: NDArray[np.int64]) -> float:
    """Largest distance between domain centroids, in root-mean-square within-domain deviations."""
    centroids = {d: z[domain == d].mean(axis=0) for d in np.unique(domain)}
    residual = z - np.stack([centroids[d] for d in domain])
    spread = max(float(np.sqrt(np.mean(np.square(residual)))), 1e-12)
    points = np.stack(list(centroids.values()))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distance.max()) / (spread * np.sqrt(z.shape[1]))


def set_probabilities(
    model: DomainVI, out: RowOutputs, domain: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities that prediction sets go by: those of the linear members, or of the network.

    Only for these there are held-out answers on all labelled rows to calibrate with.
    """
    prior = model.module.log_prior.cpu().numpy()
    known = domain < len(prior)
    shift = np.where(known[:, None], prior[np.where(known, domain, 0)], 0.0)
    return row_softmax(out.linear + shift)


def prediction_sets(
    model: DomainVI,
    out: RowOutputs,
    domain: NDArray[np.int64],
    alpha: float,
    classes: Sequence[str] | None = None,
) -> NDArray[np.bool_]:
    """Whether a class is in the set of a row, in the order of the codes; the predicted one is."""
    check_set_alpha(alpha)
    if not (sets := model.fitted.sets):
        msg = (
            "This model has no held-out labels to calibrate prediction sets with: it was trained "
            "on fewer than 10 labelled rows, or by an earlier version. Train it again on more."
        )
        raise InputError(msg)
    p = restricted(model, set_probabilities(model, out, domain), classes)
    found = np.zeros(p.shape, dtype=bool)
    for pattern, rows in out.by_pattern():
        calibrated = sets.get(pattern, sets[max(sets)])
        found[rows] = calibrated.contains(p[rows], domain[rows], alpha)
    best = restricted(model, probabilities(model, out), classes).argmax(axis=1)
    found[np.arange(len(p)), best] = True
    return found


def describe_sets(
    model: DomainVI,
    prepared: PreparedAnnData,
    alpha: float,
    sets: NDArray[np.bool_],
    about: NDArray[np.bool_],
    separator: str,
) -> dict[str, Any]:
    """Gather what ``uns["domainvi"]`` says of the prediction sets of the rows ``about``."""
    calibrated = model.fitted.sets[max(model.fitted.sets)]
    levels = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY).categorical_mapping
    names = {int(d): str(levels[d]) for d in np.unique(prepared.domain[about])}
    size = sets[about].sum(axis=1)
    return {
        "alpha": float(alpha),
        "separator": separator,
        "calibration_rows": len(calibrated.score),
        "mean_size": float(size.mean()) if len(size) else 0.0,
        "one_class": float((size == 1).mean()) if len(size) else 0.0,
        "promise": calibrated.promise(alpha, names),
    }


def suggest_labels(
    model: DomainVI, n: int, adata: AnnData | MuData | None, seed: int
) -> pd.DataFrame:
    """Choose rows to label; see :meth:`domainvi.DomainVI.suggest_labels`."""
    check_sizes(n=n)
    check_seed(seed)
    prepared = model._validate_anndata(adata)
    out = outputs(model, prepared, None)
    free = rows_without_label(model, prepared)
    p = probabilities(model, out)[free]
    rows, represented = suggest_rows(out.latent[free], p, n, seed)
    levels = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY).categorical_mapping
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(rows) + 1),
            "cohort": np.asarray(levels, dtype=object)[prepared.domain[free[rows]]].astype(str),
            "predicted": np.asarray(model.classes)[p[rows].argmax(axis=1)],
            "confidence": p[rows].max(axis=1),
            "represents": represented,
        },
        index=prepared.obs_names[free[rows]],
    )


def rows_without_label(model: DomainVI, adata: AnnData | MuData | None = None) -> NDArray[np.int64]:
    """Find the rows that can be suggested, in an order that does not change with that of the rows.

    The model need not be trained.
    """
    prepared = model._validate_anndata(adata)
    free = prepared.order[labels_of(model, prepared)[prepared.order] < 0]
    if not len(free):
        msg = f"All {prepared.n_obs} rows have a label, so none can be suggested. Pass other rows."
        raise InputError(msg)
    return free


def rows_of_cautions(
    model: DomainVI,
    prepared: PreparedAnnData,
    target: AnnData | MuData,
    mask: NDArray[np.bool_] | None,
) -> NDArray[np.bool_]:
    """Find the rows that cautions are about: of the model's own data those without a label."""
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (target.n_obs,):
            msg = (
                f"caution_rows holds {mask.dtype} values of shape {mask.shape}; expected a mask of "
                f"booleans of shape ({target.n_obs},), one for each row."
            )
            raise InputError(msg)
        return mask[target.obs_names.astype(str).isin(prepared.obs_names)]
    every = np.ones(prepared.n_obs, dtype=bool)
    if not is_own(model, prepared):
        return every
    unlabelled = labels_of(model, model._require_manager().adata) < 0
    return unlabelled if unlabelled.any() else every


def is_own(model: DomainVI, prepared: PreparedAnnData) -> bool:
    """Whether rows are those that the model was set up with, by their names."""
    own = None if model._adata is None else model._require_manager().adata
    return own is not None and bool(own.obs_names.equals(prepared.obs_names))


def row_wise_share(model: DomainVI, prepared: PreparedAnnData, rows: NDArray[np.int64]) -> float:
    """Share of experts of single rows in the vote on a cohort of these rows, the largest.

    That of a cohort that was in training is the one that the guard recorded then.
    """
    levels = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY).categorical_mapping
    at_training = ScalingNote("", model.fitted.guard.row_wise_share)
    cohorts = [str(levels[d]) for d in np.unique(prepared.domain[rows])]
    notes = [prepared.scaling_notes.get(cohort, at_training) for cohort in cohorts]
    return max((note.row_wise_share for note in notes), default=0.0)


def summarise(model: DomainVI, prepared: PreparedAnnData, n_empty: int) -> dict[str, Any]:
    """Gather what ``uns["domainvi"]`` holds: text, numbers, arrays and dicts of them.

    ``n_empty`` rows have no values.
    """
    setup, fitted = model.registry_[SETUP_ARGS_KEY], model.fitted
    batch = setup["batch_key"] or ""
    summary: dict[str, Any] = {
        _keys.VERSION: version("domainvi"),
        _keys.CLASSES: np.asarray(fitted.order.classes, dtype=object),
        _keys.LABELS_KEY: setup["labels_key"],
        _keys.BATCH_KEY: batch if isinstance(batch, str) else np.asarray(batch, dtype=object),
        _keys.UNLABELED_CATEGORY: setup["unlabeled_category"],
        _keys.GENES_MATCHED: int(prepared.gene_mask.sum()),
        _keys.ROWS_WITHOUT_VALUES: n_empty,
        _keys.UNSEEN_COHORTS: {
            _keys.storable(k): note.said for k, note in prepared.scaling_notes.items()
        },
        _keys.PARAMETERS: {k: v for k, v in model._parameters().items() if v is not None},
        _keys.AUDIT: {} if fitted.audit is None else fitted.audit.to_dict(),
        _keys.GUARD: fitted.guard.to_dict(),
    }
    if model.label_tree is not None:
        summary[_keys.LEVELS] = np.asarray(model.label_tree.levels, dtype=object)
    if set_aside := setup.get(_keys.SET_ASIDE):
        summary[_keys.SET_ASIDE] = {
            _keys.storable(key): np.asarray(names, dtype=object) for key, names in set_aside.items()
        }
    if model.phenotypes:
        summary[_keys.TARGETS] = {
            _keys.storable(key): np.asarray(order.classes, dtype=object)
            for key, order in fitted.phenotype_order.items()
        }
    if MODALITIES in prepared.obsm:
        rows = np.asarray(prepared.obsm[MODALITIES]).sum(axis=0).astype(int)
        summary[_keys.MODALITIES] = {
            _keys.storable(name): {
                _keys.GENES_MATCHED: int(prepared.gene_mask[block].sum()),
                "rows": int(n),
            }
            for (name, _, block), n in zip(model.module.modalities.blocks(), rows, strict=True)
        }
    return summary


def add_verdict(
    summary: dict[str, Any],
    model: DomainVI,
    prepared: PreparedAnnData,
    rows: pd.DataFrame,
    classes: Sequence[str] | None,
    n_excluded: int,
) -> None:
    """Add to a summary what speaks against the labels of rows.

    ``rows`` has columns ``label``, ``confidence`` and ``unknown``, and the row numbers as index.
    """
    about = rows.index.to_numpy()
    if classes is not None:
        kept = [c for c in model.fitted.order.classes if c in classes]
        summary[_keys.RESTRICTED_TO] = np.asarray(kept, dtype=object)
    summary[_keys.UNKNOWN_ROWS] = Flagged.count(rows["unknown"]).to_dict()
    found = find_cautions(
        rows,
        guard=replace(model.fitted.guard, row_wise_share=row_wise_share(model, prepared, about)),
        audit=model.fitted.audit,
        n_genes=len(model.genes),
        n_missing=len(model.genes) - int(prepared.gene_mask.sum()),
        set_aside=summary.get(_keys.SET_ASIDE),
        n_small=int((np.bincount(prepared.domain)[prepared.domain[about]] < SMALL_COHORT).sum()),
        is_new=not is_own(model, prepared),
        scaled_alike=len(model.domains) == 1
        and (model.registry_[SETUP_ARGS_KEY]["batch_key"] is None or model.scaling == "global"),
        n_excluded=n_excluded,
    )
    summary[_keys.CAUTIONS], summary[_keys.NOTES] = texts(found, "caution"), texts(found, "note")
