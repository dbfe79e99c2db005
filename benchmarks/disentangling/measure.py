"""What is measured of latents: leakage, own factors, transfer to a domain left out, swaps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.disentangling.datasets import Dataset, fresh_rows
from benchmarks.disentangling.methods import ABLATIONS, SETTINGS, disentangled, latents
from domainvi.metrics import domain_probe, factor_probe, joint_probe

if TYPE_CHECKING:
    from anndata import AnnData

PERMUTATIONS = 5
N_SPLITS = 5


def parts(dataset: Dataset, adata: AnnData, method: str) -> list[str]:
    """Parts of the measurement, each run on its own."""
    if method in ABLATIONS:
        return ["leakage"]
    domains = [f"without {d}" for d in sorted(set(adata.obs[dataset.domain].astype(str)))]
    swap = ["swap"] if method in SETTINGS else []
    return ["leakage", *swap, *domains]


def measure(
    dataset: Dataset, adata: AnnData, method: str, part: str, seed: int
) -> dict[str, float]:
    """Run one part; the figures by name."""
    start = time.perf_counter()
    if part == "leakage":
        found = leakage(dataset, adata, method, seed)
    elif part == "swap":
        model = disentangled(dataset, adata.copy(), method, seed)
        found = model.swap_test(dataset.target, dataset.domain)
    else:
        found = transfer(dataset, adata, method, part.removeprefix("without "), seed)
    return found | {"seconds": time.perf_counter() - start}


def leakage(dataset: Dataset, adata: AnnData, method: str, seed: int) -> dict[str, float]:
    """Probe latents of rows that the model did not see.

    Exact orthogonality on the rows of training drives probes on these same rows below chance, and
    says nothing of new ones.
    """
    fresh = fresh_rows(dataset, adata)
    embed = latents(dataset, adata[~fresh].copy(), method, seed)
    rows = adata[fresh].copy()
    z = embed(rows)
    strata = rows.obs[dataset.groups["biological"][-1]].cat.codes.to_numpy(dtype=np.int64)
    shared = strata if len(dataset.groups["biological"]) > 1 else None
    out: dict[str, float] = {}
    for subspace in ("biological", "technical"):
        for factor in (dataset.target, dataset.domain):
            code = rows.obs[factor].cat.codes.to_numpy(dtype=np.int64)
            foreign = subspace == "biological" and factor == dataset.domain
            probe = factor_probe(
                z.get(subspace, z["full"]),
                code,
                strata=shared if foreign else None,
                n_permutations=PERMUTATIONS,
                seed=seed,
            )
            role = "target" if factor == dataset.target else "domain"
            out[f"{subspace}_{role}"] = probe.score
            out[f"{subspace}_{role}_chance"] = probe.chance
            out[f"{subspace}_{role}_forest"], out[f"{subspace}_{role}_forest_chance"] = forest(
                z.get(subspace, z["full"]), code, shared if foreign else None, seed
            )
    if "biological" in z:
        out["joint_auc"] = joint_probe(
            [z["biological"], z["technical"]], shared, n_permutations=0, seed=seed
        ).score
    return out


def forest(
    z: np.ndarray, code: np.ndarray, strata: np.ndarray | None, seed: int
) -> tuple[float, float]:
    """Balanced accuracy of a random forest, and chance; the mean over strata where given."""
    kept = np.isin(code, np.flatnonzero(np.bincount(code) >= N_SPLITS))
    given = None if strata is None else strata[kept]
    found = domain_probe(z[kept], code[kept], given, seed=seed, classifier="forest")
    if strata is None:
        return found.balanced_accuracy, found.chance
    return found.within_class, found.within_class_chance


def transfer(
    dataset: Dataset, adata: AnnData, method: str, domain: str, seed: int
) -> dict[str, float]:
    """Predict the target in a domain whose labels the model and the classifier never saw."""
    target = adata.obs[dataset.target].astype(str).to_numpy()
    held = adata.obs[dataset.domain].astype(str).to_numpy() == domain
    shown = adata.copy()
    shown.obs[dataset.target] = pd.Categorical(np.where(held, "Unknown", target))
    z = latents(dataset, shown, method, seed)(shown)
    out = {}
    for name, block in z.items():
        model = LogisticRegression(max_iter=2000, class_weight="balanced")
        fitted = make_pipeline(StandardScaler(), model).fit(block[~held], target[~held])
        found = fitted.predict(block[held])
        out[f"transfer_{name}"] = float(balanced_accuracy_score(target[held], found))
    return out
