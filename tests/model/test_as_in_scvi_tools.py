"""What every model of scvi-tools does, done by ours as users of scvi-tools know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import scvi

import domainvi as dv
from domainvi.errors import InputError

from .conftest import QUIET, fit, small_cohorts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData


@pytest.fixture
def other() -> AnnData:
    """Rows of the same cohorts and genes that the model was not set up with."""
    return small_cohorts(seed=3, n_obs=300)[240:].copy()


@pytest.fixture
def attached(model: dv.DomainVI, tmp_path: Path, adata: AnnData) -> dv.DomainVI:
    """A copy of the model, with its own data."""
    model.save(tmp_path / "model")
    return dv.DomainVI.load(tmp_path / "model", adata)


@pytest.fixture
def seed_of_settings() -> Iterator[None]:
    before = scvi.settings.seed
    yield
    scvi.settings.seed = before


# --- model.adata = other --------------------------------------------------------------------------


def test_assigned_data_are_what_getters_work_on(
    attached: dv.DomainVI, other: AnnData, adata: AnnData
) -> None:
    expected = attached.predict(other, soft=True)
    attached.get_latent_representation()
    attached.adata = other
    assert attached.adata is other
    assert attached.get_latent_representation().shape == (60, 32)
    assert attached.predict(soft=True).equals(expected)
    assert attached.summary_stats.n_cells == 60
    assert attached.train_indices is None
    attached.annotate()
    assert (other.obs["label_pred"] == attached.predict()).all()
    np.testing.assert_array_equal(
        other.obsm["X_domainvi"], attached.get_latent_representation(other)
    )
    assert np.isfinite(float(attached.get_elbo()))
    assert len(attached.predict(adata)) == 240


def test_assigned_data_are_trained_on(attached: dv.DomainVI, other: AnnData) -> None:
    attached.adata = other
    attached.train(max_epochs=1, **QUIET)
    assert len(attached.train_indices) + len(attached.validation_indices) == 60


def test_a_copy_keeps_the_split(attached: dv.DomainVI, adata: AnnData) -> None:
    before = attached.train_indices
    attached.adata = adata.copy()
    np.testing.assert_array_equal(attached.train_indices, before)


def test_a_model_without_data_takes_some(
    model: dv.DomainVI, tmp_path: Path, other: AnnData
) -> None:
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model")
    loaded.adata = other
    assert len(loaded.predict()) == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.obs.__delitem__("domain"), "lacks domain"),
        (lambda a: a.obs.__setitem__("domain", "elsewhere"), "domains that the model does not"),
        (lambda a: setattr(a, "var_names", [f"other{i}" for i in range(a.n_vars)]), "genes"),
    ],
)
def test_what_cannot_be_assigned_changes_nothing(
    attached: dv.DomainVI, other: AnnData, adata: AnnData, change: object, message: str
) -> None:
    change(other)
    with pytest.raises(InputError, match=message):
        attached.adata = other
    assert attached.adata is adata
    assert len(attached.predict()) == 240


def test_no_data_cannot_be_assigned(attached: dv.DomainVI) -> None:
    with pytest.raises(InputError, match="adata=None"):
        attached.adata = None


def test_labels_of_the_data_before_are_still_known(
    attached: dv.DomainVI, other: AnnData, adata: AnnData
) -> None:
    attached.adata = other
    attached.annotate(adata, overwrite=True)
    learnt = (adata.obs["label"] != "Unknown").to_numpy()
    from domainvi.data import row_ids

    assert np.isin(row_ids(adata.obs_names[learnt]), attached.fitted.row_ids).all()


# --- scvi.settings.seed ---------------------------------------------------------------------------


@pytest.mark.usefixtures("seed_of_settings")
def test_the_seed_of_the_settings_is_honoured(adata: AnnData) -> None:
    latents = {}
    for run, seed in (("1", 1), ("2", 2), ("1 again", 1)):
        scvi.settings.seed = seed
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        model = dv.DomainVI(adata)
        assert model.seed == seed
        model.train(max_epochs=1, **QUIET)
        latents[run] = model.get_latent_representation()
    np.testing.assert_array_equal(latents["1"], latents["1 again"])
    assert np.abs(latents["1"] - latents["2"]).max() > 0.1


@pytest.mark.usefixtures("seed_of_settings")
def test_a_seed_that_is_passed_comes_first(adata: AnnData) -> None:
    scvi.settings.seed = 5
    assert fit(adata, max_epochs=1, seed=7).seed == 7
    scvi.settings.seed = None
    assert dv.DomainVI(adata).seed == 0


# --- what was set up ------------------------------------------------------------------------------


def test_the_setup_is_shown_in_names_of_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    data = small_cohorts(n_obs=120)
    data.layers["counts"] = np.asarray(np.random.default_rng(0).poisson(3, data.shape), float)
    data.obs["depth"] = 1.0 + np.arange(120)
    data.obs["sex"] = ["f", "m"] * 60
    dv.DomainVI.setup_anndata(
        data,
        batch_key="domain",
        labels_key="label",
        layer="counts",
        continuous_covariate_keys=["depth"],
        categorical_covariate_keys=["sex"],
    )
    model = dv.DomainVI(data)
    for query in (None, data, data[:30].copy()):
        model.view_anndata_setup(query)
        shown = capsys.readouterr().out
        for place in ("layers['counts']", "obs['domain']", "obs['label']", "obs['depth']", "sex"):
            assert place in shown
        assert "domain_1" in shown
        assert "_scvi" not in shown
        assert "adata.X" not in shown
    model.view_anndata_setup(hide_state_registries=True)
    assert "domain_1" not in capsys.readouterr().out
