"""DisentangledVI: checkpoints, interrupts, and rows handed over in another order."""

import signal

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import domainvi as dv
from domainvi.errors import InputError

FIT = {"max_epochs": 3, "batch_size": 32, "enable_progress_bar": False, "accelerator": "cpu"}


class At(pl.Callback):
    """Do something before a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.act()


class Boom(Exception):
    """A fault that nobody expects."""


def boom():
    raise Boom


def interrupt():
    signal.raise_signal(signal.SIGINT)


def factors():
    return dv.data.synthetic_factors(160, 60, seed=1)


def fresh(adata=None, independence="adversarial"):
    adata = factors() if adata is None else adata
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    return dv.DisentangledVI(adata, n_hidden=8, n_components=8, independence=independence)


def differing(model, other):
    state = other.module.state_dict()
    return [k for k, v in model.module.state_dict().items() if not torch.equal(v, state[k])]


@pytest.mark.parametrize("independence", ["adversarial", "hsic"])
def test_a_broken_training_goes_on_as_if_nothing_had_been(tmp_path, independence):
    whole = fresh(independence=independence)
    whole.train(**FIT)
    broken = fresh(independence=independence)
    with pytest.raises(Boom):
        broken.train(**FIT, checkpoint_dir=tmp_path / "c", callbacks=[At(47, boom)])
    assert not broken.is_trained_
    torch.manual_seed(7)  # what the process did in between is of no account
    resumed = fresh(independence=independence)
    resumed.train(**FIT, checkpoint_dir=tmp_path / "c", resume=True)
    assert differing(whole, resumed) == []
    for name, frame in whole.history.items():
        assert frame.astype(float).equals(resumed.history[name].astype(float))


def test_a_checkpoint_of_other_metadata_is_refused(tmp_path):
    fresh().train(**{**FIT, "max_epochs": 1}, checkpoint_dir=tmp_path / "c")
    adata = factors()
    column = adata.uns["factor_groups"]["technical"][0]
    adata.obs[column] = adata.obs[column].to_numpy()[::-1]
    with pytest.raises(InputError, match="factors"):
        fresh(adata).train(**{**FIT, "max_epochs": 1}, checkpoint_dir=tmp_path / "c", resume=True)


def test_an_interrupt_leaves_a_model_that_can_be_used(caplog):
    model = fresh()
    with pytest.raises(KeyboardInterrupt):
        model.train(**FIT, callbacks=[At(47, interrupt)])
    assert "the best of 2 that were finished of 3" in caplog.text
    assert model.is_trained_
    assert np.isfinite(model.get_latent_representation()).all()


def test_row_order_does_not_matter():
    adata = factors()
    model = fresh(adata)
    model.train(**FIT)
    latents = pd.DataFrame(model.get_latent_representation(), adata.obs_names)
    rows = np.random.default_rng(0).permutation(adata.n_obs)
    other = adata[rows].copy()
    shuffled = fresh(other)
    shuffled.train(**FIT)
    found = pd.DataFrame(shuffled.get_latent_representation(), other.obs_names)
    pd.testing.assert_frame_equal(found.loc[adata.obs_names], latents, atol=2e-5, rtol=1e-4)


def test_training_on_keeps_the_factors_apart():
    adata = dv.data.synthetic_factors(300, 80, seed=1)
    platform = adata.obs["platform"].astype(str).to_numpy()

    def leak(model):
        z = model.get_latent_representation(group="biological")
        return cross_val_score(LogisticRegression(max_iter=2000), z, platform, cv=3).mean()

    once, twice = fresh(adata), fresh(adata)
    once.train(**{**FIT, "max_epochs": 6})
    twice.train(**{**FIT, "max_epochs": 5})
    twice.train(**{**FIT, "max_epochs": 1})
    assert leak(twice) < leak(once) + 0.1


def test_a_factor_may_be_the_size_factor():
    adata = factors()
    adata.X = np.round(np.exp(np.asarray(adata.X))).clip(0, 1e4).astype(np.float32)
    adata.obs["depth"] = np.asarray(adata.X).sum(axis=1)
    groups = adata.uns["factor_groups"]
    groups = {**groups, "technical": [*groups["technical"], "depth"]}
    dv.DisentangledVI.setup_anndata(adata, factor_groups=groups, size_factor_key="depth")
    model = dv.DisentangledVI(adata, n_hidden=8, n_components=8)
    manager = model.adata_manager
    np.testing.assert_allclose(
        manager.get_from_registry("size_factor").ravel(), adata.obs["depth"], rtol=1e-6
    )
    model.train(**{**FIT, "max_epochs": 1})
    assert model.module.input_scale.size_factor_scale > 0


def test_errors_of_a_number_that_no_held_out_row_has():
    adata = factors()
    rng = np.random.default_rng(0)
    adata.obs["age"] = np.where(
        np.arange(adata.n_obs) < 14, rng.normal(50, 10, adata.n_obs), np.nan
    )
    groups = adata.uns["factor_groups"]
    groups = {**groups, "biological": [*groups["biological"], "age"]}
    for seed in range(3):
        dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        model = dv.DisentangledVI(adata, n_hidden=8, n_components=8, seed=seed)
        model.train(**{**FIT, "max_epochs": 1})
        assert np.isfinite(model.fitted.errors["age"])
