"""Every method as latents: rows to learn from in, latents of any rows out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import issparse
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import domainvi as dv
from domainvi.data import describe_matrix, log_normalize
from domainvi.disentangled import fit_erasure, reset_erasure

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from benchmarks.disentangling.datasets import Dataset

    # Latents of rows, by the name of the subspace; "full" is always there.
    Latents = Callable[[AnnData], dict[str, np.ndarray]]

SETTINGS = ("hsic", "covariance", "adversarial", "none")
# What an independence term and what the projection after training do on their own.
ABLATIONS = {
    "hsic, not projected": ("hsic", False),
    "adversarial, not projected": ("adversarial", False),
    "none, projected": ("none", True),
}
METHODS = (*SETTINGS, "domainvi", "scvi", "pca", *ABLATIONS)
N_COMPONENTS = 32


def disentangled(dataset: Dataset, adata: AnnData, setting: str, seed: int) -> dv.DisentangledVI:
    """Train DisentangledVI with its defaults."""
    dv.DisentangledVI.setup_anndata(adata, factor_groups=dataset.groups)
    model = dv.DisentangledVI(adata, independence=setting, seed=seed)
    model.train(enable_progress_bar=False, accelerator="cpu")
    return model


def latents(dataset: Dataset, adata: AnnData, method: str, seed: int) -> Latents:
    """Fit a method to rows, some of whose target labels may be missing."""
    if method in SETTINGS or method in ABLATIONS:
        setting, projected = ABLATIONS.get(method, (method, None))
        model = disentangled(dataset, adata, setting, seed)
        if projected is not None:
            reset_erasure(model.module)
        if projected:
            fit_erasure(model.module, model._validate_anndata())
        return lambda rows: {
            "full": model.get_latent_representation(rows),
            **{g: model.get_latent_representation(rows, group=g) for g in dataset.groups},
        }
    return {"domainvi": _domainvi, "scvi": _scvi, "pca": _pca}[method](dataset, adata, seed)


def _domainvi(dataset: Dataset, adata: AnnData, seed: int) -> Latents:
    dv.DomainVI.setup_anndata(adata, batch_key=dataset.domain, labels_key=dataset.target)
    model = dv.DomainVI(adata, seed=seed)
    model.train(enable_progress_bar=False, accelerator="cpu")
    return lambda rows: {"full": model.get_latent_representation(rows)}


def _scvi(dataset: Dataset, adata: AnnData, seed: int) -> Latents:
    from scvi import settings
    from scvi.model import SCVI

    settings.seed = seed
    is_count = describe_matrix(adata.X).kind == "counts"
    arguments = {} if is_count else {"gene_likelihood": "normal", "log_variational": False}
    shift = 0.0 if is_count else float(adata.X.min())

    def prepared(rows: AnnData) -> AnnData:
        # scVI takes the logarithm of row sums, so that log values have to be positive.
        out = rows.copy()
        out.X = out.X - shift
        SCVI.setup_anndata(out, batch_key=dataset.domain)
        return out

    model = SCVI(prepared(adata), n_latent=N_COMPONENTS, **arguments)
    model.train(max_epochs=200, enable_progress_bar=False, accelerator="cpu")
    return lambda rows: {"full": model.get_latent_representation(prepared(rows))}


def _pca(dataset: Dataset, adata: AnnData, seed: int) -> Latents:
    is_count = describe_matrix(adata.X).kind == "counts"

    def values(rows: AnnData) -> np.ndarray:
        x = log_normalize(rows.X) if is_count else rows.X
        return np.asarray(x.toarray() if issparse(x) else x, dtype=np.float64)

    steps = make_pipeline(StandardScaler(), PCA(N_COMPONENTS, random_state=seed))
    fitted = steps.fit(values(adata))
    return lambda rows: {"full": fitted.transform(values(rows))}
