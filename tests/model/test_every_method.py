"""Every public method of every kind of model works, or is refused by one error of ours."""

from __future__ import annotations

import inspect
import pickle
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from mudata import MuData
from scvi.model import SCVI

import domainvi as dv
from domainvi.errors import DomainVIError, InputError

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData

KEYS = {"batch_key": "domain", "labels_key": "label"}
FACTORS = {"biological": ["label_true"], "technical": ["domain"]}
KINDS = ("counts", "log", "modalities", "loaded", "disentangled")
# What a kind of model cannot do, or not with rows in memory, and says so.
ALWAYS_REFUSED = {
    "annotate_lazy",
    "convert_legacy_save",
    "get_pretrained_representation",
    "prepare_query_mudata",
    "pretrain",
    "setup_annbatch",
    "update_setup_method_args",
}
ALSO_REFUSED = {
    "modalities": {
        "differential_expression",
        "explain",
        "get_feature_correlation_matrix",
        "get_latent_library_size",
        "get_likelihood_parameters",
        "get_normalized_expression",
        "load_query_data",
        "prepare_query_anndata",
    },
    "loaded": {"data_registry", "diagnose", "train"},
    "log": {"get_latent_library_size"},
}


class Case(NamedTuple):
    """A trained model, rows for its methods, and a folder."""

    kind: str
    model: Any
    data: Any
    folder: Path


def two_modalities(adata: AnnData) -> MuData:
    mdata = MuData({"rna": adata[:, :80].copy(), "mirna": adata[:, 80:].copy()})
    mdata.obs = adata.obs.copy()
    return mdata


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    data: Any = small_cohorts(values="log" if kind == "log" else "counts")
    if kind == "disentangled":
        dv.DisentangledVI.setup_anndata(data, factor_groups=FACTORS)
        model: Any = dv.DisentangledVI(data)
    elif kind == "modalities":
        data = two_modalities(data)
        dv.DomainVI.setup_mudata(data, **KEYS)
        model = dv.DomainVI(data)
    else:
        dv.DomainVI.setup_anndata(data, **KEYS)
        model = dv.DomainVI(data)
    model.train(max_epochs=1, **QUIET)
    model.save(folder / "model")
    if kind == "loaded":
        model = dv.DomainVI.load(folder / "model")
    return Case(kind, model, data, folder)


def scvi_model() -> SCVI:
    data = small_cohorts()
    SCVI.setup_anndata(data, batch_key="domain")
    return SCVI(data, n_latent=4)


def calls(case: Case) -> dict[str, Callable[[], Any]]:
    """How each public method is called; those that are not listed take rows only."""
    model, data, folder = case.model, case.data, case.folder
    rows, cls, saved = data.copy(), type(case.model), folder / "model"
    named = {"factor_groups": FACTORS} if case.kind == "disentangled" else KEYS
    first = model.subspaces[0] if case.kind == "disentangled" else ""
    return {
        "annotate_lazy": lambda: model.annotate_lazy(rows, folder / "rows_in_memory.zarr"),
        "convert_legacy_save": lambda: cls.convert_legacy_save("old", "new"),
        "data_registry": lambda: model.data_registry("X"),
        "deregister_manager": lambda: model.deregister_manager(),
        "diagnose": lambda: model.diagnose(),
        "differential_abundance": lambda: model.differential_abundance(rows, "domain"),
        "differential_expression": lambda: model.differential_expression(rows, "label_true"),
        "explain": lambda: model.explain(rows, indices=range(5)),
        "from_scvi_model": lambda: cls.from_scvi_model(scvi_model(), "Unknown", "label"),
        "get_anndata_manager": lambda: model.get_anndata_manager(data),
        "get_elbo": lambda: float(model.get_elbo(rows)),
        "get_from_registry": lambda: model.get_from_registry(rows, "X"),
        "get_leakage": lambda: model.get_leakage(rows, n_permutations=20),
        "get_marginal_ll": lambda: model.get_marginal_ll(rows, n_mc_samples=3),
        "get_setup_arg": lambda: model.get_setup_arg("unlabeled_category"),
        "get_state_registry": lambda: model.get_state_registry("X"),
        "get_swapped_expression": lambda: model.get_swapped_expression(
            range(len(rows)), first, rows
        ),
        "get_var_names": lambda: model.get_var_names(),
        "load": lambda: cls.load(saved, rows),
        "load_query_data": lambda: cls.load_query_data(rows, model),
        "load_registry": lambda: cls.load_registry(saved),
        "prepare_query_anndata": lambda: cls.prepare_query_anndata(
            data["rna"].copy() if case.kind == "modalities" else rows, model
        ),
        "prepare_query_mudata": lambda: cls.prepare_query_mudata(rows, model),
        "pretrain": lambda: model.pretrain(max_epochs=1, **QUIET),
        "register_manager": lambda: cls.register_manager(model.transfer_fields(rows)),
        "save": lambda: model.save(folder / "again", overwrite=True),
        "setup_annbatch": lambda: cls.setup_annbatch(),
        "setup_anndata": lambda: cls.setup_anndata(small_cohorts(), **named),
        "setup_mudata": lambda: cls.setup_mudata(two_modalities(small_cohorts()), **named),
        "suggest_labels": lambda: model.suggest_labels(5, rows),
        "swap_test": lambda: model.swap_test("label_true", "domain"),
        "to_device": lambda: model.to_device("cpu"),
        "train": lambda: model.train(max_epochs=1, **QUIET),
        "update_setup_method_args": lambda: model.update_setup_method_args({"layer": "x"}),
        "view_anndata_setup": lambda: model.view_anndata_setup(),
        "view_registry": lambda: model.view_registry(),
        "view_setup_args": lambda: cls.view_setup_args(saved),
        "view_setup_method_args": lambda: model.view_setup_method_args(),
    }


def test_every_public_method(case: Case) -> None:
    listed, refused = calls(case), {}
    found = {n: inspect.getattr_static(case.model, n, None) for n in dir(case.model) if n[0] != "_"}
    methods = {
        name
        for name, member in found.items()
        if inspect.isroutine(member) and not isinstance(member, cached_property)
    } | {n for n in ("load", "setup_anndata", "load_registry") if hasattr(case.model, n)}
    assert {"predict", "get_marginal_ll", "view_setup_args"} <= methods
    for name in sorted(methods):
        call = listed.get(name, lambda name=name: getattr(case.model, name)(case.data.copy()))
        try:
            call()
        except DomainVIError as error:
            refused[name] = str(error)
    expected = (ALWAYS_REFUSED & methods) | ALSO_REFUSED.get(case.kind, set())
    assert refused.keys() == expected, refused
    assert all(len(message) > 40 and message[-1] in ".)" for message in refused.values()), refused


# --- what methods of scvi-tools return --------------------------------------------------------


@pytest.fixture
def counts() -> dv.DomainVI:
    data = small_cohorts()
    dv.DomainVI.setup_anndata(data, **KEYS)
    model = dv.DomainVI(data)
    model.train(max_epochs=2, **QUIET)
    return model


def test_abundance_tells_samples_apart(counts: dv.DomainVI) -> None:
    data = counts.adata
    data.obs["sample"] = data.obs["label_true"].astype(str)
    counts.differential_abundance(sample_key="sample", num_cells_posterior=40)
    scores = data.obsm["da_log_probs"]
    assert scores.index.equals(data.obs_names)
    found = scores.columns[scores.to_numpy().argmax(axis=1)]
    assert np.mean(found == data.obs["sample"]) > 0.9
    with pytest.raises(InputError, match="Did you mean 'sample'"):
        counts.differential_abundance(sample_key="sampel")


def test_aggregated_posterior_is_the_mixture_of_rows(counts: dv.DomainVI) -> None:
    mean, variance = counts.get_latent_representation(indices=[3], return_dist=True)
    posterior = counts.get_aggregated_posterior(indices=[3], dof=None)
    np.testing.assert_allclose(posterior.mean.numpy(), mean[0], rtol=1e-5)
    np.testing.assert_allclose(posterior.variance.numpy(), variance[0], rtol=1e-4)
    with pytest.raises(InputError, match="names no row"):
        counts.get_aggregated_posterior(indices=[])
    with pytest.raises(InputError, match="dof=0"):
        counts.get_aggregated_posterior(dof=0)


def test_marginal_likelihood_is_between_the_elbo_and_more_draws(counts: dv.DomainVI) -> None:
    few = counts.get_marginal_ll(n_mc_samples=5)
    many = counts.get_marginal_ll(n_mc_samples=200)
    assert float(counts.get_elbo()) < few < many < 0
    one = counts.get_marginal_ll(indices=[0, 1], n_mc_samples=5, return_mean=False)
    assert one.shape == (2,)
    with pytest.raises(InputError, match="n_mc_samples=0"):
        counts.get_marginal_ll(n_mc_samples=0)


def test_a_trained_model_can_be_pickled(counts: dv.DomainVI) -> None:
    other = pickle.loads(pickle.dumps(counts))
    np.testing.assert_array_equal(other.predict(), counts.predict())


@pytest.mark.parametrize("kind", ["adata.h5ad", "mdata.h5mu"])
def test_data_are_saved_beside_the_model(kind: str, tmp_path: Path) -> None:
    data: Any = small_cohorts()
    data = two_modalities(data) if kind == "mdata.h5mu" else data
    setup = dv.DomainVI.setup_mudata if kind == "mdata.h5mu" else dv.DomainVI.setup_anndata
    setup(data, **KEYS)
    model = dv.DomainVI(data)
    model.train(max_epochs=1, **QUIET)
    model.save(tmp_path / "m", save_anndata=True)
    assert (tmp_path / "m" / kind).is_file()
    loaded = dv.DomainVI.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(), model.predict())
    assert dv.DomainVI.load(tmp_path / "m", adata=False).adata is None
    (tmp_path / "m" / kind).write_bytes(b"no data")
    with pytest.raises(OSError, match="adata=False"):
        dv.DomainVI.load(tmp_path / "m")


def test_a_prefix_is_refused_with_the_folder_to_use(counts: dv.DomainVI, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m/first_' as dir_path"):
        counts.save(tmp_path / "m", prefix="first_")
    assert not (tmp_path / "m").exists()


def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path: Path) -> None:
    data = small_cohorts()
    dv.DomainVI.setup_anndata(data, **KEYS)
    model = dv.DomainVI(data, n_latent=np.int64(8))
    model.train(max_epochs=np.int64(1), batch_size=np.int32(64), **QUIET)
    assert len(model.history["train_loss"]) == 1
    model.save(tmp_path / "m")
    assert dv.DomainVI.load(tmp_path / "m", data).get_latent_representation().shape == (240, 8)
