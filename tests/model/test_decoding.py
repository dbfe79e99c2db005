"""Expected values and draws from the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def fitted(adata: AnnData, epochs: int = 15, **kwargs: Any) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, **kwargs)
    model.train(max_epochs=epochs, accelerator="cpu", enable_progress_bar=False)
    return model


def cohorts(values: str = "counts") -> AnnData:
    return dv.data.synthetic_cohorts(
        n_obs=240, n_genes=60, domain_effect=2.0, values=values, seed=3
    )


@pytest.fixture(scope="module", params=["log", "counts"])
def model(request: pytest.FixtureRequest) -> dv.DomainVI:
    return fitted(cohorts(request.param))


def test_expected_values_are_near_the_values(model: dv.DomainVI) -> None:
    adata = model.adata
    values = model.get_normalized_expression(library_size="latent")
    assert values.index.equals(adata.obs_names)
    assert values.columns.equals(adata.var_names)
    for name, rows in adata.obs.groupby("domain", observed=True).indices.items():
        observed = np.log1p(np.asarray(adata.X[rows]).clip(0)).mean(axis=0)
        expected = np.log1p(values.to_numpy()[rows].clip(0)).mean(axis=0)
        assert np.corrcoef(observed, expected)[0, 1] > 0.95, name


def test_another_domain_moves_rows_there(model: dv.DomainVI) -> None:
    domain = model.adata.obs["domain"]
    first, second = model.domains
    rows = (domain == first).to_numpy()
    own = model.get_normalized_expression(indices=rows)
    moved = model.get_normalized_expression(indices=rows, transform_batch=second)
    target = model.get_normalized_expression(indices=~rows)

    def distance(values: pd.DataFrame) -> float:
        return float(np.abs(values.mean() - target.mean()).sum())

    assert distance(moved) < 0.3 * distance(own)


def test_several_domains_are_averaged(model: dv.DomainVI) -> None:
    each = [model.get_normalized_expression(transform_batch=d).to_numpy() for d in model.domains]
    both = model.get_normalized_expression(transform_batch=model.domains)
    np.testing.assert_allclose(both.to_numpy(), np.mean(each, axis=0), rtol=1e-4, atol=1e-6)


def test_genes_rows_and_order_are_those_asked_for(model: dv.DomainVI) -> None:
    genes = [model.genes[3], model.genes[1]]
    some = model.get_normalized_expression(indices=[5, 2], gene_list=genes)
    every = model.get_normalized_expression()
    assert list(some.columns) == genes
    expected = every.loc[model.adata.obs_names[[5, 2]], genes].to_numpy()
    np.testing.assert_allclose(some.to_numpy(), expected, rtol=1e-4, atol=1e-6)


def test_shares_sum_to_the_library_size() -> None:
    model = fitted(cohorts(), epochs=2)
    shares = model.get_normalized_expression(library_size=1e4)
    np.testing.assert_allclose(shares.sum(axis=1), 1e4, rtol=1e-4)


def test_draws_have_the_shape_and_the_mean_of_the_data(model: dv.DomainVI) -> None:
    draws = model.posterior_predictive_sample(n_samples=3, indices=np.arange(50))
    assert draws.shape == (50, model.adata.n_vars, 3)
    mean = draws.todense().mean(axis=(0, 2))
    assert np.corrcoef(mean, np.asarray(model.adata.X[:50]).mean(axis=0))[0, 1] > 0.9
    again = model.posterior_predictive_sample(n_samples=3, indices=np.arange(50))
    np.testing.assert_array_equal(draws.todense(), again.todense())


def test_one_draw_has_the_shape_of_the_data(model: dv.DomainVI) -> None:
    genes = [model.genes[3], model.genes[1]]
    draw = model.posterior_predictive_sample(indices=[0, 1, 2])
    assert draw.shape == (3, model.adata.n_vars)
    some = model.posterior_predictive_sample(indices=[0, 1, 2], gene_list=genes)
    np.testing.assert_array_equal(some.todense(), draw.todense()[:, [3, 1]])
    assert model.posterior_predictive_sample(indices=[]).shape == (0, model.adata.n_vars)


def test_draws_as_of_several_domains_take_turns(model: dv.DomainVI) -> None:
    rows = {"indices": np.arange(60)}
    mean = {
        d: model.get_normalized_expression(transform_batch=d, library_size="latent", **rows)
        for d in model.domains
    }
    draws = model.posterior_predictive_sample(
        n_samples=2, transform_batch=list(model.domains), **rows
    ).todense()
    for i, name in enumerate(model.domains):
        distance = {
            d: np.abs(draws[..., i].mean(axis=0) - m.to_numpy().mean(axis=0)).mean()
            for d, m in mean.items()
        }
        assert min(distance, key=distance.get) == name


def test_draws_of_expression_one_by_one_and_overall(model: dv.DomainVI) -> None:
    mean = model.get_normalized_expression(n_samples=3, indices=[0, 1])
    draws = model.get_normalized_expression(n_samples=3, indices=[0, 1], return_mean=False)
    assert draws.shape == (3, 2, model.adata.n_vars)
    np.testing.assert_allclose(draws.mean(axis=0), mean.to_numpy(), rtol=1e-3, atol=1e-5)
    overall = model.get_normalized_expression(n_samples_overall=7, indices=[0, 1])
    assert overall.shape == (7, model.adata.n_vars)
    array = model.get_normalized_expression(return_numpy=True)
    np.testing.assert_array_equal(array, model.get_normalized_expression().to_numpy())


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_parameters_are_those_of_the_distribution(likelihood: str) -> None:
    model = fitted(cohorts(), epochs=1, likelihood=likelihood)
    found = model.get_likelihood_parameters(indices=[3, 0])
    size = model.get_latent_library_size(indices=[3, 0])
    expected = model.get_normalized_expression(indices=[3, 0], library_size="latent")
    inflation = 1 - found.get("dropout", 0)
    np.testing.assert_allclose(found["mean"] * inflation, expected, rtol=1e-4)
    np.testing.assert_array_equal(size, model.adata.X[[3, 0]].sum(axis=1, keepdims=True))
    assert ("dispersions" in found) == (likelihood != "poisson")
    draws = model.get_likelihood_parameters(indices=[3, 0], n_samples=4)
    assert draws["mean"].shape == (4, 2, model.adata.n_vars)
    average = model.get_likelihood_parameters(indices=[3, 0], n_samples=4, give_mean=True)
    np.testing.assert_allclose(average["mean"], draws["mean"].mean(axis=0), rtol=1e-5)
    matrix = model.get_feature_correlation_matrix(n_samples=1, correlation_type="pearson")
    np.testing.assert_allclose(np.diag(matrix), 1.0)


def test_genes_of_one_class_go_together(model: dv.DomainVI) -> None:
    matrix = model.get_feature_correlation_matrix(transform_batch=model.domains[0], n_samples=3)
    owner = model.adata.var["marker_of"].to_numpy()
    names = [name for name in np.unique(owner.astype(str)) if (owner == name).sum() > 1]
    classes = [name for name in names if name.startswith("class")]
    within = np.mean([matrix.loc[owner == c, owner == c].to_numpy().mean() for c in classes])
    assert within > np.abs(matrix.to_numpy()).mean() + 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transform_batch": "nowhere"}, "transform_batch='nowhere'; expected names out of "),
        ({"gene_list": ["nothing"]}, "gene_list: 1 of 1 genes are not in the model"),
    ],
)
def test_what_is_not_known_is_refused(
    model: dv.DomainVI, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.get_normalized_expression(**arguments)


def test_an_untrained_model_decodes_nothing() -> None:
    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    with pytest.raises(NotTrainedError):
        dv.DomainVI(adata).get_normalized_expression()
