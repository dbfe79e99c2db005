"""The data sets of the benchmark of latents, small to large, and whose labels are hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import anndata as ad
import numpy as np

import domainvi as dv

if TYPE_CHECKING:
    from pathlib import Path

UNLABELED = "Unknown"
MAX_ROWS = 5000


class Source(NamedTuple):
    """A file, the cohorts whose labels are hidden, and the column of the cohorts."""

    file: str
    targets: tuple[str, ...]
    cohort_key: str = "cohort"


# No file: the bundled demo. Targets are those of tasks.csv where it has the file. GTEx against TCGA
# is there twice, with one cohort and with both of TCGA hidden.
SETS = {
    "stemcells": Source("bulk_stemcells_4studies.h5ad", ("study1",)),
    "demo_mix": Source("", ("agilent",)),
    "demo": Source("", ("agilent",)),
    "tcga_pam50": Source("tcga_brca_pam50_rnaseq_vs_agilent_139genes.h5ad", ("agilent_G4502A",)),
    "microRNAome": Source("mirna_microRNAome_multistudy.h5ad", ("GA",), "platform"),
    "mixology": Source("sc_mixology_celseq2_dropseq.h5ad", ("Drop-seq",)),
    "gtex_tcga": Source("bulk_tissue_gtex_vs_tcga.h5ad", ("tcga_tumor",)),
    "gtex_tcga_both": Source("bulk_tissue_gtex_vs_tcga.h5ad", ("tcga_normal", "tcga_tumor")),
    "pbmc_3tech": Source("sc_pbmc_3tech.h5ad", ("10x_3p_v2",)),
    "kang": Source("sc_kang_ctrl_vs_ifnb.h5ad", ("stim",)),
    "pbmc_4cohorts": Source("sc_pbmc_4cohorts.h5ad", ("10x_3p_v2",)),
}


def read(name: str, folder: Path, *, hide: bool = True) -> ad.AnnData:
    """Read a set with ``cohort``, ``label`` (the truth) and ``shown`` (what a model may know).

    Parameters
    ----------
    name
        One of :data:`SETS`. ``demo_mix`` is the demo with other shares of the classes in each
        cohort. Patients of ``tcga_pam50`` were measured twice, and half of them is kept of each
        cohort.
    folder
        Where the files are.
    hide
        Whether labels of the target cohorts are hidden.
    """
    source = SETS[name]
    adata = ad.read_h5ad(folder / source.file) if source.file else dv.data.cohorts()
    obs = adata.obs
    obs["cohort"] = obs[source.cohort_key].astype(str).astype("category")
    obs["label"] = obs["label" if source.file else "cancer_type"].astype(str).astype("category")
    is_target = obs["cohort"].isin(source.targets).to_numpy()
    obs["shown"] = np.where(is_target & hide, UNLABELED, obs["label"].astype(str))
    if "half" in obs:
        adata = adata[obs["half"].astype(str).eq("1").to_numpy() == is_target].copy()
    return subsample(thinned(adata) if name == "demo_mix" else adata)


def cells(adata: ad.AnnData) -> list[tuple[int, int, np.ndarray]]:
    """Return code of cohort, code of class and row numbers of what is in both."""
    keys = [adata.obs[key].cat.codes for key in ("cohort", "label")]
    return [(*codes, rows) for codes, rows in adata.obs.groupby(keys, sort=True).indices.items()]


def thinned(adata: ad.AnnData) -> ad.AnnData:
    """Keep a quarter of every other class, of the other ones in each next cohort."""
    rng = np.random.default_rng(5)
    sizes = [
        max(len(rows) // 4, min(len(rows), 8)) if (i + j) % 2 else len(rows)
        for i, j, rows in cells(adata)
    ]
    return _drawn(adata, sizes, rng)


def subsample(adata: ad.AnnData, n_rows: int = MAX_ROWS) -> ad.AnnData:
    """Draw about ``n_rows``, the same share of each class of each cohort and one row at least."""
    if adata.n_obs <= n_rows:
        return adata
    share = n_rows / adata.n_obs
    sizes = [max(1, round(share * len(rows))) for _, _, rows in cells(adata)]
    return _drawn(adata, sizes, np.random.default_rng(0))


def _drawn(adata: ad.AnnData, sizes: list[int], rng: np.random.Generator) -> ad.AnnData:
    """Draw that many rows of each class of each cohort."""
    kept = [
        rng.choice(rows, size, replace=False)
        for (_, _, rows), size in zip(cells(adata), sizes, strict=True)
    ]
    return adata[np.sort(np.concatenate(kept))].copy()
