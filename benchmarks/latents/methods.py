"""Every method as one call: a data set in, latents of every row and what it predicts out."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.latents.datasets import UNLABELED
from domainvi.data import describe_matrix, log_normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

    # Name, latents, and predicted classes of those that predict.
    Found = tuple[str, NDArray[np.floating], "NDArray[np.str_] | None"]
    Method = Callable[[AnnData, int], Iterator[Found]]

N_COMPONENTS = 32
QUIET: dict[str, Any] = {"enable_progress_bar": False, "accelerator": "cpu"}


def is_counts(adata: AnnData) -> bool:
    """Whether the values are counts; SCVI and SCANVI are run on these alone."""
    return describe_matrix(adata.X).kind == "counts"


def log_values(adata: AnnData) -> NDArray[np.floating]:
    """Log values as they are, and counts brought to ten thousand a row and logged."""
    x = log_normalize(adata.X) if is_counts(adata) else adata.X
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def components(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Principal components."""
    return PCA(min(N_COMPONENTS, *x.shape), random_state=0).fit_transform(x)


def pca(adata: AnnData, seed: int) -> Iterator[Found]:
    """Principal components, and Harmony of them, where harmonypy (version 2, GPL) is installed."""
    z = components(log_values(adata))
    yield "PCA", z, None
    try:
        import harmonypy
    except ImportError:
        print("harmonypy is not installed: no row for Harmony")
        return
    cohort = adata.obs[["cohort"]].astype(str)
    fitted = harmonypy.run_harmony(z, cohort, "cohort", verbose=False, random_state=seed)
    yield "Harmony", np.asarray(fitted.Z_corr), None


def z_scores(adata: AnnData, seed: int) -> Iterator[Found]:
    """Principal components of what is standardised in each cohort."""
    x, codes = log_values(adata).astype(float), adata.obs["cohort"].cat.codes.to_numpy()
    for code in np.unique(codes):
        part = x[codes == code]
        spread = part.std(axis=0)
        x[codes == code] = (part - part.mean(axis=0)) / np.where(spread > 0, spread, 1)
    yield "z-scores", components(x), None


def scvi_tools(adata: AnnData, seed: int) -> Iterator[Found]:
    """SCVI, and SCANVI that starts from it, with the defaults and epochs of scvi-tools."""
    if not is_counts(adata):
        return
    import scvi

    scvi.settings.seed = seed
    work = adata.copy()
    scvi.model.SCVI.setup_anndata(work, batch_key="cohort")
    first = scvi.model.SCVI(work)
    first.train(**QUIET)
    yield "scVI", first.get_latent_representation(), None
    model = scvi.model.SCANVI.from_scvi_model(first, UNLABELED, labels_key="shown")
    model.train(**QUIET)
    yield "SCANVI", model.get_latent_representation(), np.asarray(model.predict(), dtype=str)


def domainvi(
    adata: AnnData, seed: int, *, name: str, weight: float | None = None, **options: str
) -> Iterator[Found]:
    """DomainVI with its defaults, another weight of the adversary or other options."""
    from domainvi import DomainVI

    work = adata.copy()
    DomainVI.setup_anndata(work, batch_key="cohort", labels_key="shown")
    model = DomainVI(work, seed=seed, **options)
    model.train(plan_kwargs={} if weight is None else {"adversary_weight": weight}, **QUIET)
    yield name, model.get_latent_representation(), np.asarray(model.predict(), dtype=str)


# By the names of the rows that a call makes; the time of a later row holds that of earlier ones.
METHODS: dict[tuple[str, ...], Method] = {
    ("PCA", "Harmony"): pca,
    ("z-scores",): z_scores,
    ("DomainVI",): functools.partial(domainvi, name="DomainVI"),
    ("weight 0",): functools.partial(domainvi, name="weight 0", weight=0.0),
    ("scVI", "SCANVI"): scvi_tools,
    ("marginal",): functools.partial(domainvi, name="marginal", adversary="marginal"),
}


def run_quietly(method: Method, adata: AnnData, seed: int) -> Iterator[Found]:
    """Run without warnings about data that are not ours to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield from method(adata, seed)
