"""Collect the contents of the report, as plain values."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi import _keys as keys
from domainvi import metrics
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import is_labelled, row_ids
from domainvi.model import all_row_ids, finest_predictions
from domainvi.trust import UNSURE, Flagged, annotated_rows

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi import DomainVI

# Prediction sets that are listed, the most frequent ones.
MAX_SETS = 20
PACKAGES = ("domainvi", "scvi-tools", "torch", "lightning", "anndata", "scanpy", "scikit-learn")


def gather(
    model: DomainVI, adata: AnnData, *, own: bool, truth: str | None, n_genes: int
) -> dict[str, Any]:
    """Collect everything that the report says, by the name that the template has for it.

    ``verdict`` is ``"trust"``, ``"care"`` or ``"doubt"``; ``comparison``, ``diagnosis`` and
    ``genes`` are ``None`` without true labels, the training data, or a wish for genes.
    """
    setup = model.registry_[SETUP_ARGS_KEY]
    key = str(setup["labels_key"])
    batch = setup["batch_key"] or ""
    batch = batch if isinstance(batch, str) else batch[0]
    obs, summary, audit = adata.obs, adata.uns[keys.RESULTS], model.fitted.audit
    cohort = obs[batch].astype(str) if batch in obs else pd.Series("all rows", obs.index)
    labelled = (
        is_labelled(obs[key], setup["unlabeled_category"]) if own else np.zeros(len(obs), bool)
    )
    # Rows whose label taught the model say nothing of what it can do, where there are others.
    about = ~labelled if not labelled.all() else labelled
    rows = annotated_rows(obs, key).assign(cohort=cohort)[about]
    cautions = list(summary[keys.CAUTIONS])
    refused = audit is not None and audit.verdict == "refused"
    parameters = {k: v for k, v in setup.items() if v not in (None, [], {})} | model._parameters()
    return {
        "labels_key": key,
        "batch_key": batch,
        "tiles": _tiles(model, rows, summary),
        "verdict": "doubt" if refused else "care" if cautions else "trust",
        "audit": "" if audit is None else audit.sentence,
        "cautions": cautions,
        "remarks": list(summary[keys.NOTES]),
        "evidence": model.fitted.guard.evidence,
        "notes": dict(summary[keys.UNSEEN_COHORTS]),
        "classes": summarise(rows, "label"),
        "about": about,
        "n_left_out": int((~about).sum()),
        "sets": _sets(obs[about], key, summary),
        "unknown": dict(summary[keys.UNKNOWN_ROWS]),
        "cohorts": summarise(rows, "cohort"),
        "comparison": None if truth is None else compare(model, adata, truth),
        "diagnosis": model.diagnose() if own and len(model.domains) > 1 else None,
        "genes": _top_genes(model, adata, n_genes),
        "parameters": {k: str(v) for k, v in parameters.items() if v is not None},
        "restricted": list(summary.get(keys.RESTRICTED_TO, ())),
        "versions": _versions(),
        "written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def summarise(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Count rows, mean confidence, unsure and flagged rows of each level."""
    unsure, fits_none = f"confidence < {UNSURE}", f"fits no known class (p ≤ {Flagged.ALPHA})"
    grouped = rows.assign(**{unsure: rows["confidence"] < UNSURE}).groupby(by, observed=True)
    table = pd.DataFrame(
        {
            "rows": grouped.size(),
            "mean confidence": grouped["confidence"].mean(),
            unsure: grouped[unsure].sum(),
            fits_none: [Flagged.count(p).found for _, p in grouped["unknown"]],
        }
    )
    return table.sort_values("rows", ascending=False)


def _sets(obs: pd.DataFrame, key: str, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Say what prediction sets state, with the most frequent ones; ``None`` if not asked for."""
    if keys.PREDICTION_SETS not in summary:
        return None
    counts = obs[keys.prediction_set(key)].value_counts().head(MAX_SETS)
    return {**summary[keys.PREDICTION_SETS], "table": counts.to_frame("rows")}


def _tiles(model: DomainVI, rows: pd.DataFrame, summary: dict[str, Any]) -> dict[str, str]:
    flagged = Flagged.count(rows["unknown"]).found / max(1, len(rows))
    return {
        "rows": f"{len(rows):,}",
        "cohorts": f"{rows['cohort'].nunique():,}",
        "classes": f"{len(model.classes):,}",
        "genes matched": f"{summary[keys.GENES_MATCHED]:,}",
        "mean confidence": f"{rows['confidence'].mean():.2f}",
        "fit no known class": f"{flagged:.1%}",
    }


def compare(model: DomainVI, adata: AnnData, truth: str) -> dict[str, Any]:
    """Score predictions on rows that have a true label and that the model did not learn from.

    Of several levels the finest is compared, whichever the rows are named at.

    Returns the column ``truth``, the ``predicted`` classes, the ``rows`` compared, ``scores`` by
    name (empty without such rows), and a ``remark`` on rows that were left out.
    """
    setup = model.registry_[SETUP_ARGS_KEY]
    predicted = finest_predictions(model, adata)
    known = predicted.notna().to_numpy()
    labelled = known & is_labelled(adata.obs[truth], setup["unlabeled_category"])
    known_to_model = np.isin(row_ids(adata.obs_names), all_row_ids(model))
    rows, n_left_out = labelled & ~known_to_model, int((labelled & known_to_model).sum())
    scores, remark = {}, []
    if n_left_out:
        remark.append(
            f"Left out: {n_left_out:,} rows with the name of one whose label taught the model."
        )
    if rows.any():
        y, p = (column[rows].astype(str).to_numpy() for column in (adata.obs[truth], predicted))
        scores = {
            "rows with a true label": float(len(y)),
            "macro-F1": metrics.macro_f1(y, p),
            "balanced accuracy": metrics.balanced_accuracy(y, p),
            "accuracy": metrics.accuracy(y, p),
        }
    else:
        remark.append(f"No {'other ' if n_left_out else ''}row has a true label.")
    said = {"truth": truth, "predicted": predicted, "remark": " ".join(remark)}
    return {**said, "rows": rows, "scores": scores}


def _top_genes(model: DomainVI, adata: AnnData, n_genes: int) -> pd.DataFrame | None:
    """Genes with the largest attribution to each class, one column a class."""
    if not n_genes or find_spec("captum") is None:
        return None
    attribution = model.explain(adata=adata)
    columns = {}
    for name in attribution.columns:
        top, low = attribution[name].dropna().nlargest(n_genes), attribution.attrs["low"][name]
        marks = {gene: ", low" if gene in low else "" for gene in top.index}
        shown = [f"{gene} ({value:+.2f}{marks[gene]})" for gene, value in top.items()]
        columns[str(name)] = shown + ["–"] * (n_genes - len(shown))
    return pd.DataFrame(columns, index=np.arange(1, n_genes + 1))


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
