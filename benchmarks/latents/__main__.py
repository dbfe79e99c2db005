"""Fresh probes of the latents, within class: of DomainVI, without its adversary, and of the input.

Run as ``python -m benchmarks.latents --data DIR``; writes ``probes.csv`` and prints the means. The
labels of the target cohorts are hidden, and the probes (logistic regression and a random forest,
five-fold, balanced accuracy) go by the true classes. ``demo_mix`` is the demo with the classes of
each cohort thinned to a quarter in turn, so that no class has the same share in both.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

import domainvi as dv
from domainvi.data import describe_matrix
from domainvi.metrics import domain_probe, macro_f1

HERE = Path(__file__).parent
PROBES = ("logistic", "forest")
FILES = {
    "kang": ("sc_kang_ctrl_vs_ifnb.h5ad", ("stim",)),
    "gtex_tcga": ("bulk_tissue_gtex_vs_tcga.h5ad", ("tcga_normal", "tcga_tumor")),
}
WEIGHTS = {"domainvi": None, "no adversary": 0.0}


def read(name: str, folder: Path) -> tuple[ad.AnnData, tuple[str, ...]]:
    """Read a data set with ``cohort`` and ``label``, and its target cohorts."""
    if name in FILES:
        file, targets = FILES[name]
        return ad.read_h5ad(folder / file), targets
    adata = dv.data.cohorts()
    adata.obs["label"] = adata.obs["cancer_type"]
    return (thinned(adata) if name == "demo_mix" else adata), ("agilent",)


def thinned(adata: ad.AnnData) -> ad.AnnData:
    """Keep a quarter of every other class, of the other ones in each next cohort."""
    rng, kept = np.random.default_rng(5), []
    for (cohort, label), rows in adata.obs.groupby(
        ["cohort", "label"], observed=True
    ).indices.items():
        i, j = (
            adata.obs[k].cat.categories.get_loc(v)
            for k, v in (("cohort", cohort), ("label", label))
        )
        n = len(rows) // 4 if (i + j) % 2 else len(rows)
        kept.append(rng.choice(rows, max(n, min(len(rows), 8)), replace=False))
    return adata[np.sort(np.concatenate(kept))].copy()


def log_values(adata: ad.AnnData) -> np.ndarray:
    """Log values as they are, and counts brought to ten thousand a row and logged."""
    x = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    if describe_matrix(adata.X).kind != "counts":
        return x
    return np.log1p(1e4 * x / np.maximum(x.sum(axis=1, keepdims=True), 1))


def probes(z: np.ndarray, obs: pd.DataFrame) -> dict[str, float]:
    """Balanced accuracy of both probes, and chance."""
    domain, label = (
        obs[key].astype("category").cat.codes.to_numpy() for key in ("cohort", "label")
    )
    found = {name: domain_probe(z, domain, label, classifier=name) for name in PROBES}
    return {
        "chance": found["logistic"].within_class_chance,
        **{name: probe.within_class for name, probe in found.items()},
    }


def measure(adata: ad.AnnData, targets: tuple[str, ...], weight: float | None, seed: int) -> dict:
    """Train, and probe the latents; macro-F1 is that of target rows whose class has labels."""
    truth = adata.obs["label"].astype(str).to_numpy()
    hidden = adata.obs["cohort"].isin(targets).to_numpy()
    adata.obs["shown"] = np.where(hidden, "Unknown", truth)
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="shown")
    model = dv.DomainVI(adata, seed=seed)
    start = time.process_time()
    plan = {} if weight is None else {"adversary_weight": weight}
    model.train(plan_kwargs=plan, enable_progress_bar=False, accelerator="cpu")
    seconds = time.process_time() - start
    scored = hidden & np.isin(truth, truth[~hidden])
    return {
        **probes(model.get_latent_representation(), adata.obs),
        "referee": float(model.history["domain_probe_train"].iloc[-1, 0]),
        "macro_f1": macro_f1(truth[scored], model.predict()[scored]),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latents")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["kang", "demo", "demo_mix", "gtex_tcga"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    rows = []
    with threadpool_limits(1):
        for name in arguments.sets:
            adata, targets = read(name, arguments.data)
            z = PCA(32, random_state=0).fit_transform(log_values(adata))
            rows.append({"data": name, "latents": "PCA", "seed": 0, **probes(z, adata.obs)})
            for latents, weight in WEIGHTS.items():
                for seed in arguments.seeds:
                    found = measure(adata, targets, weight, seed)
                    rows.append({"data": name, "latents": latents, "seed": seed, **found})
            table = pd.DataFrame(rows).round(4)
            table.to_csv(HERE / "probes.csv", index=False)
    means = table.groupby(["data", "latents"], sort=False).mean(numeric_only=True)
    print(means.drop(columns="seed").round(3).to_string())


if __name__ == "__main__":
    main()
