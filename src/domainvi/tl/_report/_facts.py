"""Collect what the report says, as plain values."""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi import _keys as keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.trust import UNSURE, Flagged, annotated_rows

from ._comparison import compare

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi import DomainVI

    from ._comparison import Comparison

PACKAGES = ("domainvi", "scvi-tools", "torch", "lightning", "anndata", "scanpy", "scikit-learn")


@dataclass(frozen=True)
class Facts:
    """The contents of a report.

    Parameters
    ----------
    labels_key, batch_key
        Columns of phenotype and domain.
    tiles
        Numbers for the top, by name.
    verdict
        ``"trust"``, ``"care"`` or ``"doubt"``, for the colour of the top.
    audit
        The audit's sentence; empty if none was made.
    cautions
        Sentences on what speaks against the predictions.
    evidence
        What the guard decided on.
    notes
        How cohorts that were not in training were treated.
    classes
        Table of predictions by class.
    cohorts
        Table of predictions by cohort.
    comparison
        Agreement with true labels; ``None`` if there are none to compare with.
    diagnosis
        Domain probes by class; ``None`` without the training data.
    genes
        Most important genes by class, with their attribution; ``None`` if not asked for.
    parameters, versions
        What is needed to run it again.
    written
        Date and time.
    """

    labels_key: str
    batch_key: str
    tiles: dict[str, str]
    verdict: str
    audit: str
    cautions: list[str]
    evidence: str
    notes: dict[str, str]
    classes: pd.DataFrame
    cohorts: pd.DataFrame
    comparison: Comparison | None
    diagnosis: pd.DataFrame | None
    genes: pd.DataFrame | None
    parameters: dict[str, str]
    versions: dict[str, str]
    written: str


def gather(model: DomainVI, adata: AnnData, *, own: bool, truth: str | None, n_genes: int) -> Facts:
    """Collect everything that the report says."""
    setup = model.registry_[SETUP_ARGS_KEY]
    key = str(setup["labels_key"])
    batch = setup["batch_key"] if isinstance(setup["batch_key"], str) else setup["batch_key"][0]
    summary = adata.uns[keys.RESULTS]
    rows = _rows(adata, key, batch)
    cautions = list(summary[keys.CAUTIONS])
    audit = model.fitted.audit
    refused = audit is not None and audit.verdict == "refused"
    now = datetime.datetime.now(datetime.UTC)
    return Facts(
        labels_key=key,
        batch_key=batch,
        tiles=_tiles(model, rows, summary),
        verdict="doubt" if refused else "care" if cautions else "trust",
        audit="" if audit is None else audit.sentence,
        cautions=cautions,
        evidence=model.fitted.guard.evidence,
        notes=dict(summary[keys.UNSEEN_COHORTS]),
        classes=summarise(rows, "label"),
        cohorts=summarise(rows, "cohort"),
        comparison=None if truth is None else compare(model, adata, truth),
        diagnosis=model.diagnose() if own else None,
        genes=_top_genes(model, adata, n_genes),
        parameters=_parameters(model),
        versions=_versions(),
        written=now.strftime("%Y-%m-%d %H:%M UTC"),
    )


def _rows(adata: AnnData, key: str, batch: str) -> pd.DataFrame:
    obs = adata.obs
    cohort = obs[batch].astype(str) if batch in obs else pd.Series("all rows", obs.index)
    return annotated_rows(obs, key).assign(cohort=cohort)


def summarise(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Count rows, mean confidence, unsure and flagged rows of each level."""
    grouped = rows.groupby(by, observed=True)
    table = pd.DataFrame(
        {
            "rows": grouped.size(),
            "mean confidence": grouped["confidence"].mean(),
            f"confidence < {UNSURE}": grouped["confidence"].apply(
                lambda c: int((c < UNSURE).sum())
            ),
            f"fits no known class (p ≤ {Flagged.ALPHA})": grouped["unknown"].apply(
                lambda p: Flagged.count(p).found
            ),
        }
    )
    return table.sort_values("rows", ascending=False)


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


def _top_genes(model: DomainVI, adata: AnnData, n_genes: int) -> pd.DataFrame | None:
    """Genes with the largest attribution to each class, one column a class."""
    if not n_genes or find_spec("captum") is None:
        return None
    attribution = model.explain(adata=adata)
    columns = {}
    for name in attribution.columns:
        top = attribution[name].sort_values(ascending=False).head(n_genes)
        columns[str(name)] = [f"{gene} ({value:+.2f})" for gene, value in top.items()]
    return pd.DataFrame(columns, index=np.arange(1, n_genes + 1))


def _parameters(model: DomainVI) -> dict[str, str]:
    setup = {k: v for k, v in model.registry_[SETUP_ARGS_KEY].items() if v not in (None, [], {})}
    return {k: str(v) for k, v in {**setup, **model._parameters()}.items() if v is not None}


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
