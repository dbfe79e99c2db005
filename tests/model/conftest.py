"""A small trained model, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

QUIET = {"enable_progress_bar": False}


# Modules whose tests ask how right a trained model is.
FULL_EPOCHS = (
    "test_differential_expression",
    "test_one_cohort",
    "test_planted_truth",
    "test_results",
)


@pytest.fixture(scope="module", autouse=True)
def short_epochs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Few steps an epoch, elsewhere: most of the time of a small training is steps."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.module.__name__.endswith(FULL_EPOCHS):
            patch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 4)
        yield


def small_cohorts(**kwargs: object) -> AnnData:
    """Two cohorts with planted classes, the second one unlabelled."""
    settings = {"n_obs": 240, "n_genes": 120, "domain_effect": 2.0, "seed": 3, **kwargs}
    return dv.data.synthetic_cohorts(**settings)


def fit(adata: AnnData, *, max_epochs: int = 3, seed: int = 0, **kwargs: object) -> dv.DomainVI:
    """Set up and train."""
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, seed=seed, **kwargs)
    model.train(max_epochs=max_epochs, **QUIET)
    return model


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return small_cohorts()


@pytest.fixture(scope="module")
def model(adata: AnnData) -> dv.DomainVI:
    return fit(adata)
