"""Ranks of genes of the sex chromosomes when sex is predicted from tumours of six kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "tcga_rnaseq_sex_6cancers.h5ad"
GENES = ("XIST", "RPS4Y1", "DDX3Y")
METHODS = ("deeplift", "integrated_gradients", "gradient_shap")


def rows(data: Path, hidden: tuple[str, ...] = ("", "ACC", "STAD")) -> Iterator[dict[str, Any]]:
    """Yield one row a hidden cohort, method and sex; ``""`` hides none."""
    adata = ad.read_h5ad(data / FILE)
    sex = adata.obs["label"].astype(str)
    for cohort in hidden:
        adata.obs["sex"] = np.where(adata.obs["cohort"] == cohort, "Unknown", sex)
        dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="sex")
        model = dv.DomainVI(adata)
        model.train(enable_progress_bar=False)
        for method in METHODS:
            genes = model.explain(method=method)
            ranks = genes.rank(ascending=False)
            for name in genes:
                yield {
                    "hidden": cohort or "none",
                    "method": method,
                    "sex": name,
                    **{f"rank_{g}": int(ranks.loc[g, name]) for g in GENES},
                    "tied_share": genes.attrs["tied_share"][name],
                    "incompleteness": genes.attrs.get("incompleteness", float("nan")),
                }
