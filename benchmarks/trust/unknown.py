"""Leave one class out of the source: whether it is found in the target, and at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import domainvi as dv
from benchmarks.transfer.tasks import Task, read, select_tasks
from domainvi.trust import Flagged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData

ALPHA = 0.05
TASKS = ("platform_rna_to_array", "platform_array_to_rna", "mirna_ga_to_hiseq", "pancreas")
# Classes of the second cohort that the first one lacks by nature.
PANCREAS = Task(
    name="pancreas",
    family="pancreas",
    file="sc_pancreas_wang_xin_219genes.h5ad",
    domain_key="cohort",
    label_key="label",
    sources=("xin",),
    target="wang",
    counts=False,
    classes=("ductal", "stellate", "acinar"),
)


def rows(data: Path, names: tuple[str, ...] = TASKS) -> Iterator[dict[str, Any]]:
    """Yield one row a task and class left out."""
    tasks = select_tasks(data, [n for n in names if n != PANCREAS.name])
    for task in [*tasks, *([PANCREAS] if PANCREAS.name in names else [])]:
        for left_out in task.classes:
            yield {"task": task.name, "left_out": left_out, **measure(data, task, left_out)}


def measure(data: Path, task: Task, left_out: str) -> dict[str, float]:
    """AUROC of the left-out class, shares of flagged known and unknown rows, and what is called.

    ``share`` is the true share of unknown rows and ``estimated`` what the target's p-values say of
    it; ``false`` is the share of known rows among those called at the false discovery rate, of
    which there are ``called``.
    """
    adata, is_target, truth = without_class(data, task, left_out)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata)
    # The p-values rest on un-adapted components, which no epoch changes.
    model.train(max_epochs=1, enable_progress_bar=False)
    model.annotate(adata)
    p = adata.obs["label_unknown"].to_numpy()
    unknown = is_target & (truth == left_out)
    known = is_target & ~unknown
    flagged = Flagged.count(p[is_target])
    called = is_target & (p <= flagged.p_value)
    return {
        "n_unknown": int(unknown.sum()),
        "auroc": dv.metrics.auroc(1 - p[is_target], unknown[is_target]),
        "error": float((p[known] <= ALPHA).mean()),
        "power": float((p[unknown] <= ALPHA).mean()),
        "share": float(unknown.sum() / is_target.sum()),
        "estimated": flagged.share,
        "called": flagged.discoveries,
        "false": float((called & known).sum() / max(1, called.sum())),
    }


def without_class(data: Path, task: Task, left_out: str) -> tuple[AnnData, np.ndarray, np.ndarray]:
    """Rows of a task without one class in the source; which are target; their true classes."""
    whole = read(data / task.file)
    cohort = whole.obs[task.domain_key].astype(str).to_numpy()
    truth = whole.obs[task.label_key].astype(str).to_numpy()
    is_target = cohort == task.target
    in_source = np.isin(cohort, task.sources) & (truth != left_out)
    shared = set(truth[in_source]) if task is PANCREAS else set(task.classes)
    kept = (in_source | is_target) & np.isin(truth, [*shared, left_out])
    adata = whole[kept].copy()
    adata.obs["domain"] = cohort[kept]
    adata.obs["label"] = np.where(is_target[kept], "Unknown", truth[kept])
    return adata, is_target[kept], truth[kept]
