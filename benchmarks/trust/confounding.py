"""Labelled cohorts whose class proportions are pulled apart: what is lost, what the audit says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import domainvi as dv
from benchmarks.transfer.tasks import Task, read, select_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData

STRENGTHS = (0.0, 0.3, 0.6, 0.9)
TASKS = ("platform_rna_to_array", "gtex_to_tcga_tumor", "mirna_tn_blca_to_hnsc")
HELD_OUT = 0.4
MODELS: dict[str, dict[str, str]] = {
    "domainvi": {},
    "source_only": {"scaling": "global", "adversary": "none"},
}


def rows(data: Path, seeds: int = 2, names: tuple[str, ...] = TASKS) -> Iterator[dict[str, Any]]:
    """Yield one row a task, strength, seed and model."""
    for task in select_tasks(data, list(names)):
        for strength in STRENGTHS:
            for seed in range(seeds):
                adata, hidden, truth = confounded(data, task, strength, seed)
                for name, parameters in MODELS.items():
                    yield {
                        "task": task.name,
                        "strength": strength,
                        "seed": seed,
                        "model": name,
                        **measure(adata, hidden, truth, parameters),
                    }


def measure(
    adata: AnnData, hidden: np.ndarray, truth: np.ndarray, parameters: dict[str, str]
) -> dict[str, Any]:
    """Macro-F1 on the hidden rows of both cohorts, and the verdict of the audit."""
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, **parameters)
    model.train(enable_progress_bar=False)
    return {
        "cramers_v": float(model.fitted.audit.cramers_v),
        "verdict": model.fitted.audit.verdict,
        "macro_f1": dv.metrics.macro_f1(truth[hidden], model.predict()[hidden]),
    }


def confounded(
    data: Path, task: Task, strength: float, seed: int
) -> tuple[AnnData, np.ndarray, np.ndarray]:
    r"""Thin labelled rows until Cramér's V of class and cohort is about ``strength``.

    Two cohorts; every other class is thinned in the one and the rest in the other, to
    :math:`(1 - V) / (1 + V)` of their rows. Four tenths of all rows are hidden first, whatever
    their class, and are what is scored.
    """
    rng = np.random.default_rng(seed)
    whole = read(data / task.file)
    cohort = whole.obs[task.domain_key].astype(str).to_numpy()
    truth = whole.obs[task.label_key].astype(str).to_numpy()
    cohorts = (task.sources[0], task.target)
    shown = np.zeros(len(truth), dtype=bool)
    hidden = np.zeros(len(truth), dtype=bool)
    for i, label in enumerate(task.classes):
        parts = [np.flatnonzero((cohort == c) & (truth == label)) for c in cohorts]
        parts = [rng.permutation(p) for p in parts]
        cuts = [int(np.ceil(HELD_OUT * len(p))) for p in parts]
        for part, cut in zip(parts, cuts, strict=True):
            hidden[part[:cut]] = True
        pools = [part[cut:] for part, cut in zip(parts, cuts, strict=True)]
        n = min(len(p) for p in pools)
        few = int(round(n * (1 - strength) / (1 + strength)))
        for j, pool in enumerate(pools):
            shown[pool[: few if (i + j) % 2 else n]] = True
    kept = shown | hidden
    adata = whole[kept].copy()
    adata.obs["domain"] = cohort[kept]
    adata.obs["label"] = np.where(hidden[kept], "Unknown", truth[kept])
    return adata, hidden[kept], truth[kept]
