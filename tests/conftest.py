"""What all tests share: deadlines, a small AnnData factory, the rule for tests that need a GPU."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# Before numba is imported: its parallel loops would set torch to all threads again.
os.environ["NUMBA_NUM_THREADS"] = "1"

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scipy import sparse
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from domainvi.linear import TrainingRows

mpl.use("Agg")
# Small matrices gain nothing from more threads, and beside a busy process threads wait for each
# other: the suite then crawls. What more threads do is tested in fresh interpreters.
torch.set_num_threads(1)


SLOW_DEADLINE = 1800  # seconds; the others have that of pyproject.toml


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_DEADLINE))


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread() -> None:
    """Limit BLAS and OpenMP as well, anew in each file, for libraries that came since."""
    threadpool_limits(1)


@pytest.fixture(scope="module", autouse=True)
def no_seed_of_scvi() -> None:
    """Forget a seed that an earlier file has set for all models."""
    scvi.settings.seed = None


def pytest_runtest_setup(item: pytest.Item) -> None:
    torch.set_num_threads(1)  # again, since numba's parallel loops, such as scanpy's, set it to all
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def make_adata() -> Callable[..., ad.AnnData]:
    """A factory of small AnnData objects with planted classes and cohorts.

    The defaults give 120 rows of log values of 20 genes: classes ``a`` and ``b`` that differ in the
    first half of the genes, cohorts ``x`` and ``y`` that differ in the second half, the classes
    equally frequent in both, and the labels of ``y`` hidden as ``"Unknown"``. ``obs`` holds
    ``cohort``, ``label`` and, with nothing hidden, ``truth``.
    """

    def make(
        n_obs: int = 120,
        n_genes: int = 20,
        *,
        classes: tuple[str, ...] = ("a", "b"),
        cohorts: tuple[str, ...] = ("x", "y"),
        counts: bool = False,
        csr: bool = False,
        hidden: tuple[str, ...] = ("y",),
        seed: int = 0,
    ) -> ad.AnnData:
        rng = np.random.default_rng(seed)
        label = np.arange(n_obs) % len(classes)
        cohort = np.arange(n_obs) // len(classes) % len(cohorts)
        half = n_genes // 2
        mean = np.empty((n_obs, n_genes))
        mean[:, :half] = rng.normal(2, 1, (len(classes), half))[label]
        mean[:, half:] = rng.normal(2, 1, (len(cohorts), n_genes - half))[cohort]
        x = rng.poisson(np.exp(mean)) if counts else rng.normal(mean, 0.3)
        x = x.astype(np.float32)
        truth = np.array(classes)[label]
        names = np.array(cohorts)[cohort]
        shown = np.where(np.isin(names, hidden), "Unknown", truth)
        obs = pd.DataFrame(
            {
                "cohort": pd.Categorical(names),
                "label": pd.Categorical(shown),
                "truth": pd.Categorical(truth),
            },
            index=[f"row{i}" for i in range(n_obs)],
        )
        var = pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)])
        return ad.AnnData(sparse.csr_matrix(x) if csr else x, obs=obs, var=var)

    return make


@pytest.fixture(scope="session")
def planted() -> Callable[..., tuple[TrainingRows, np.ndarray]]:
    """A factory of ``TrainingRows`` from synthetic log values, and their true labels.

    The first domain is the source; ``shown`` rows of each class in the others keep their label.
    """

    from domainvi.data import synthetic_cohorts
    from domainvi.linear import TrainingRows

    def make(shown: int = 0, **kwargs: Any) -> tuple[TrainingRows, np.ndarray]:
        options = {"n_obs": 300, "n_genes": 120, "values": "log", "domain_effect": 3.0, **kwargs}
        adata = synthetic_cohorts(**options)
        domain = adata.obs["domain"].cat.codes.to_numpy().astype(np.int64)
        truth = adata.obs["label_true"].cat.codes.to_numpy().astype(np.int64)
        label = np.where(domain == 0, truth, -1)
        for c in np.unique(truth):
            rows = np.flatnonzero((domain > 0) & (truth == c))[:shown]
            label[rows] = c
        is_source = np.arange(domain.max() + 1) == 0
        x = np.asarray(adata.X, dtype=np.float32)
        return TrainingRows(x, domain, label, is_source, int(truth.max()) + 1), truth

    return make
