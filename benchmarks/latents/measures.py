"""What is measured of latents: fresh probes of the cohort, and scib-metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np

from benchmarks.latents.datasets import UNLABELED
from domainvi.metrics import domain_probe, macro_f1

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PROBES = ("logistic", "forest")
SCIB = ("bio_conservation", "batch_correction", "total")


def probes(z: NDArray[np.floating], obs: pd.DataFrame) -> dict[str, float]:
    """Balanced accuracy of both probes within true classes, five-fold, and chance."""
    domain, label = (obs[key].cat.codes.to_numpy() for key in ("cohort", "label"))
    found = {name: domain_probe(z, domain, label, classifier=name) for name in PROBES}
    scores = {name: probe.within_class for name, probe in found.items()}
    return {"chance": found["logistic"].within_class_chance, **scores}


def hidden_f1(obs: pd.DataFrame, predicted: NDArray[np.str_] | None) -> dict[str, float]:
    """Macro-F1 of rows whose label is hidden and whose class is shown elsewhere."""
    truth, shown = (obs[key].to_numpy(dtype=str) for key in ("label", "shown"))
    scored = (shown == UNLABELED) & np.isin(truth, shown)
    if predicted is None or not scored.any():
        return {}
    return {"macro_f1": macro_f1(truth[scored], predicted[scored])}


def scib(
    z: NDArray[np.floating], before: NDArray[np.floating], obs: pd.DataFrame
) -> dict[str, float]:
    """All metrics of the Benchmarker of scib-metrics, unscaled, by true classes.

    Parameters
    ----------
    z
        Latents.
    before
        Principal components of the values before integration, for the comparison of regressions.
    obs
        With ``cohort`` and ``label``.
    """
    from scib_metrics.benchmark import Benchmarker

    obsm = {"z": np.asarray(z, np.float32), "before": np.asarray(before, np.float32)}
    bench = Benchmarker(
        ad.AnnData(obs=obs[["cohort", "label"]], obsm=obsm),
        batch_key="cohort",
        label_key="label",
        embedding_obsm_keys=["z"],
        pre_integrated_embedding_obsm_key="before",
        progress_bar=False,
    )
    bench.benchmark()
    found = bench.get_results(min_max_scale=False).loc["z"].astype(float)
    named = {re.sub(r"\W+", "_", name).lower(): value for name, value in found.items()}
    return {name: named.pop(name) for name in SCIB} | named
