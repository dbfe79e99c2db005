"""What scvi-tools must keep doing: private names, hooks that are overridden, formats relied on."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    LabelsWithUnlabeledObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
)
from scvi.dataloaders import AnnDataLoader
from scvi.distributions import NegativeBinomial, Normal, Poisson, ZeroInflatedNegativeBinomial
from scvi.model.base import ArchesMixin, BaseModelClass, VAEMixin
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from scvi.train import TrainRunner

from domainvi import _compat

N_ROWS = 18
HOOKS = (
    "_get_setup_method_args",
    "_get_init_params",
    "_validate_anndata",
    "_make_data_loader",
    "_get_most_recent_anndata_manager",
    "_register_manager_for_instance",
)


def make_manager(names=("a", "b"), labels=("x", "y", "Unknown"), **kwargs):
    """Eighteen rows of three genes, registered as DomainVI registers them."""
    obs = pd.DataFrame(
        {
            "domain": pd.Categorical(np.resize(names, N_ROWS)),
            "label": pd.Categorical(np.resize(labels, N_ROWS), categories=labels),
            "plate": pd.Categorical(np.resize(["p", "q", "r"], N_ROWS)),
            "age": np.arange(float(N_ROWS)),
        },
        index=[f"row{i}" for i in range(N_ROWS)],
    )
    x = np.arange(3 * N_ROWS, dtype=np.float32).reshape(N_ROWS, 3)
    adata = AnnData(x, obs=obs, var=pd.DataFrame(index=["g1", "g2", "g3"]))
    fields = [
        LayerField(REGISTRY_KEYS.X_KEY, None, is_count_data=False),
        CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, "domain"),
        LabelsWithUnlabeledObsField(REGISTRY_KEYS.LABELS_KEY, "label", "Unknown"),
        CategoricalJointObsField("extra_domains", ["plate"]),
        NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, None, required=False),
        CategoricalJointObsField(REGISTRY_KEYS.CAT_COVS_KEY, []),
        NumericalJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, ["age"]),
    ]
    setup = {
        "model_name": "Small",
        "setup_method_name": "setup_anndata",
        _compat.SETUP_ARGS_KEY: {"layer": None},
    }
    manager = AnnDataManager(fields=fields, setup_method_args=setup)
    manager.register_fields(adata, **kwargs)
    return manager


class Module(BaseModuleClass):
    """Keeps what it was called with; the loss is the sum of one weight."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def _get_inference_input(self, tensors):
        return {"x": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(self, tensors, inference_outputs):
        return {"z": inference_outputs["z"]}

    @auto_move_data
    def inference(self, x, n_samples=1):
        return {"z": x * n_samples}

    @auto_move_data
    def generative(self, z, genes=None):
        return {"z": z, "genes": genes}

    def loss(self, tensors, inference_outputs, generative_outputs, scale=1.0, kl_weight=0.0):
        self.kl_weight = kl_weight
        rows = tensors[REGISTRY_KEYS.X_KEY].sum(dim=1) * self.weight * scale
        return LossOutput(
            loss=rows.mean(),
            reconstruction_loss=rows,
            kl_local=torch.zeros_like(rows),
            extra_metrics={"m": torch.ones(())},
        )

    def sample(self):
        return None


class Model(VAEMixin, ArchesMixin, BaseModelClass):
    """Overrides the hooks as DomainVI does, and notes who calls them."""

    def __init__(self, adata=None, registry=None, n_latent=3, **kwargs):
        self.calls = []
        super().__init__(adata, registry)
        self.module = Module()
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_anndata(cls, adata, **kwargs):
        return cls._get_setup_method_args(cls=cls, adata=adata, **kwargs)

    def train(self):
        """Abstract in the base."""

    @classmethod
    def _get_most_recent_anndata_manager(cls, adata, required=False):
        assert required
        return adata.uns["manager"]

    def _register_manager_for_instance(self, adata_manager):
        self.calls.append(("register", adata_manager))

    def get_anndata_manager(self, adata, required=False):
        return adata.uns["manager"]

    def _validate_anndata(self, adata=None, copy_if_view=True):
        self.calls.append(("validate", adata))
        return self._adata

    def _make_data_loader(self, adata, *args, **kwargs):
        self.calls.append(("loader", adata))
        return super()._make_data_loader(adata, *args, **kwargs)


@pytest.fixture
def manager():
    return make_manager()


@pytest.fixture
def model(manager):
    adata = manager.adata
    adata.uns["manager"] = manager
    return Model(adata, n_latent=7)


def test_private_constants():
    assert _compat.FIELD_REGISTRIES_KEY == "field_registries"
    assert _compat.STATE_REGISTRY_KEY == "state_registry"
    assert _compat.SETUP_ARGS_KEY == "setup_args"
    assert _compat.SETUP_METHOD_KEY == "setup_method_name"


def test_a_device_is_found_by_name():
    *_, device = _compat.parse_device_args("cpu", "auto", "torch", validate_single_device=True)
    assert device == torch.device("cpu")


def test_module_keys():
    keys = _compat.MODULE_KEYS
    assert (keys.Z_KEY, keys.QZ_KEY, keys.PX_KEY, keys.PZ_KEY) == ("z", "qz", "px", "pz")


def test_every_hook_is_named_and_exists():
    for name in HOOKS:
        assert callable(getattr(BaseModelClass, name))
        assert name in _compat.__doc__


def test_setup_arguments_are_gathered_without_the_data():
    adata = AnnData(np.zeros((2, 2), dtype=np.float32))
    assert Model.setup_anndata(adata, batch_key="b", layer=None) == {
        "model_name": "Model",
        "setup_method_name": "setup_anndata",
        _compat.SETUP_ARGS_KEY: {"batch_key": "b", "layer": None},
    }


def test_construction_asks_for_the_manager_and_keeps_its_registry(model, manager):
    assert model.calls == [("register", manager)]
    assert model._adata is manager.adata
    assert model._adata_manager is manager
    assert model.adata_manager is manager
    assert model.registry_ is manager.registry
    assert model.summary_stats["n_vars"] == 3
    assert model.is_trained_ is False
    assert model.history_ is None


def test_construction_without_data_keeps_the_registry_given(manager):
    model = Model(registry=manager.registry)
    assert model._adata is None
    assert model._adata_manager is None
    assert model.registry_ is manager.registry
    assert model.summary_stats["n_extra_continuous_covs"] == 1
    assert model.calls == []


def test_constructor_arguments_are_gathered_without_data_and_registry(model):
    assert model.init_params_ == {"kwargs": {"kwargs": {}}, "non_kwargs": {"n_latent": 7}}


def test_methods_of_the_vae_go_through_validation_and_loader(model):
    model.is_trained_ = True
    model.get_reconstruction_error()
    assert [name for name, _ in model.calls] == ["register", "validate", "loader"]
    assert model.calls[2][1] is model._adata
    # scvi-tools passes this to every loss, so that ours has to take it.
    assert model.module.kl_weight == 1


def test_shape_of_a_registry(manager):
    registry = manager.registry
    assert {_compat.FIELD_REGISTRIES_KEY, _compat.SETUP_ARGS_KEY} <= set(registry)
    state = {k: v["state_registry"] for k, v in registry["field_registries"].items()}
    assert list(state["X"]["column_names"]) == ["g1", "g2", "g3"]
    assert list(state["batch"]["categorical_mapping"]) == ["a", "b"]
    assert list(state["extra_domains"]["n_cats_per_key"]) == [3]
    assert {"X", "batch", "labels", "extra_domains"} <= set(manager.data_registry)


def test_empty_fields_are_not_in_the_data(manager):
    loaded = next(iter(AnnDataLoader(manager, batch_size=N_ROWS)))
    present = {"X", "batch", "labels", "extra_domains", REGISTRY_KEYS.CONT_COVS_KEY}
    assert present <= set(loaded)
    assert not {REGISTRY_KEYS.SIZE_FACTOR_KEY, REGISTRY_KEYS.CAT_COVS_KEY} & set(loaded)


def test_the_unlabelled_category_is_the_last_code(manager):
    mapping = list(manager.get_state_registry(REGISTRY_KEYS.LABELS_KEY).categorical_mapping)
    assert mapping == ["x", "y", "Unknown"]
    codes = manager.get_from_registry(REGISTRY_KEYS.LABELS_KEY).ravel()
    assert codes.tolist() == [0, 1, 2] * 6


def test_it_is_last_although_nothing_is_unlabelled():
    manager = make_manager(labels=("x", "y"))
    mapping = list(manager.get_state_registry(REGISTRY_KEYS.LABELS_KEY).categorical_mapping)
    assert mapping == ["x", "y", "Unknown"]


def test_new_categories_get_the_next_codes(manager):
    query = make_manager(names=("c", "a"), source_registry=manager.registry, extend_categories=True)
    assert query.get_from_registry(REGISTRY_KEYS.BATCH_KEY).ravel().tolist() == [2, 0] * 9
    state = query.get_state_registry(REGISTRY_KEYS.BATCH_KEY)
    assert list(state.categorical_mapping) == ["a", "b", "c"]


def test_a_field_can_be_added_later(manager):
    manager.adata.obs[["t_0", "t_1"]] = np.arange(36.0).reshape(18, 2)
    manager.register_new_fields([NumericalJointObsField("teacher", ["t_0", "t_1"])])
    assert "teacher" in manager.data_registry
    batch = manager.create_torch_dataset()[[4, 0]]
    np.testing.assert_array_equal(np.asarray(batch["teacher"]), [[8, 9], [0, 1]])


def test_data_sets_take_a_list_of_rows(manager):
    dataset = manager.create_torch_dataset()
    loader = torch.utils.data.DataLoader(dataset, sampler=[[5, 0, 5], [1, 2]], batch_size=None)
    first, second = list(loader)
    assert torch.is_tensor(first["X"])
    assert first["X"].tolist() == [[15, 16, 17], [0, 1, 2], [15, 16, 17]]
    assert first["batch"].shape == (3, 1)
    assert second["X"].dtype == torch.float32


def test_loaders_keep_the_order_of_rows_asked_for(manager):
    loaded = next(iter(AnnDataLoader(manager, indices=np.array([4, 1]), batch_size=9)))
    assert loaded["X"][:, 0].tolist() == [12, 3]


def test_a_module_hands_keywords_on(manager):
    tensors = next(iter(AnnDataLoader(manager, batch_size=N_ROWS)))
    module = Module()
    inference, generative, output = module(
        tensors,
        inference_kwargs={"n_samples": 2},
        generative_kwargs={"genes": "some"},
        loss_kwargs={"scale": 3.0},
    )
    torch.testing.assert_close(inference["z"], 2 * tensors["X"])
    assert generative["genes"] == "some"
    torch.testing.assert_close(output.loss, 3 * tensors["X"].sum(dim=1).mean())
    assert len(module(tensors, compute_loss=False)) == 2
    assert module.device == torch.device("cpu")


def test_fields_of_the_loss_output():
    rows = torch.tensor([1.0, 2.0, 4.0])
    output = LossOutput(
        loss=rows.mean(), reconstruction_loss=rows, kl_local=2 * rows, extra_metrics={"m": rows[0]}
    )
    assert output.n_obs_minibatch == 3
    assert output.reconstruction_loss_sum == 7
    assert output.kl_local_sum == 14
    assert output.extra_metrics == {"m": rows[0]}
    assert torch.equal(output.reconstruction_loss["reconstruction_loss"], rows)
    assert torch.equal(output.kl_local["kl_local"], 2 * rows)


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (Normal, {"mu", "scale"}),
        (NegativeBinomial, {"mu", "theta", "scale"}),
        (ZeroInflatedNegativeBinomial, {"mu", "theta", "zi_logits", "scale"}),
        (Poisson, {"rate", "scale"}),
    ],
)
def test_arguments_of_distributions(cls, names):
    parameters = inspect.signature(cls.__init__).parameters
    assert names | {"validate_args"} <= set(parameters)


def test_counts_are_sampled_and_scored():
    mu, theta = torch.full((2, 3), 4.0), torch.ones(3)
    for px in (
        NegativeBinomial(mu=mu, theta=theta, scale=mu / 12, validate_args=False),
        ZeroInflatedNegativeBinomial(
            mu=mu, theta=theta, zi_logits=-torch.ones(2, 3), scale=mu / 12, validate_args=False
        ),
        Poisson(rate=mu, scale=mu / 12, validate_args=False),
    ):
        draw = px.sample()
        assert draw.shape == (2, 3)
        assert torch.isfinite(px.log_prob(draw)).all()
        torch.testing.assert_close(px.scale, mu / 12)


def test_what_the_train_runner_takes_and_sets(model, manager):
    import lightning.pytorch as pl

    class Data(pl.LightningDataModule):
        train_idx, val_idx, test_idx = np.arange(N_ROWS), np.arange(0), np.arange(0)
        n_train, n_val = N_ROWS, 0

        def train_dataloader(self):
            return AnnDataLoader(manager, batch_size=3)

    class Plan(pl.LightningModule):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def training_step(self, batch, batch_idx):
            loss = self.module(batch)[2].loss
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    runner = TrainRunner(
        model,
        training_plan=Plan(model.module),
        data_splitter=Data(),
        max_epochs=2,
        accelerator="cpu",
        devices=1,
        early_stopping=False,
        enable_progress_bar=False,
    )
    runner()
    assert model.is_trained_
    assert not model.module.training
    assert model.train_indices.tolist() == list(range(N_ROWS))
    assert len(model.validation_indices) == 0
    frame = model.history["train_loss"]
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (2, 1)
    assert frame.columns.tolist() == ["train_loss"]
    assert frame.index.name == "epoch"
    assert model.history is model.history_
