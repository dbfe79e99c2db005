"""Checkpoints: the same model whether or not training was interrupted, and faults of the disk."""

import errno
import os

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import domainvi as dv
from domainvi.errors import InputError, ModelFileError
from domainvi.io import read_model, write_model

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}
FIT = {"max_epochs": 4, "batch_size": 32, "enable_progress_bar": False}


class Boom(Exception):
    """A fault that nobody expects."""


class Break(pl.Callback):
    """End a training in the middle of a step."""

    def __init__(self, step):
        self.step = step

    def on_before_zero_grad(self, trainer, *_):
        if trainer.global_step == self.step:
            raise Boom


def fresh(cohorts, **kwargs):
    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    return dv.DomainVI(adata, **{**SMALL, **kwargs})


def assert_same(model, other):
    state = other.module.state_dict()
    assert [k for k, v in model.module.state_dict().items() if not torch.equal(v, state[k])] == []
    assert model.history.keys() == other.history.keys()
    for name, frame in model.history.items():
        assert frame.astype(float).equals(other.history[name].astype(float))
    np.testing.assert_array_equal(model.validation_indices, other.validation_indices)
    np.testing.assert_array_equal(
        model.predict(soft=True).to_numpy(), other.predict(soft=True).to_numpy()
    )


@pytest.mark.parametrize(("adversary", "step"), [("conditional", 71), ("wasserstein", 47)])
def test_a_broken_training_goes_on_as_if_nothing_had_been(cohorts, tmp_path, adversary, step):
    whole = fresh(cohorts, adversary=adversary)
    whole.train(**FIT)
    broken = fresh(cohorts, adversary=adversary)
    with pytest.raises(Boom):
        broken.train(**FIT, checkpoint_dir=tmp_path / "c", callbacks=[Break(step)])
    assert not broken.is_trained_
    torch.manual_seed(step)  # what the process did in between is of no account
    resumed = fresh(cohorts, adversary=adversary)
    resumed.train(**FIT, checkpoint_dir=tmp_path / "c", resume=True)
    assert_same(whole, resumed)
    again = fresh(cohorts, adversary=adversary)
    again.train(**FIT, checkpoint_dir=tmp_path / "c", resume=True)
    assert_same(whole, again)


@pytest.mark.slow
def test_early_stopping_stays_stopped_and_counts_on(cohorts, tmp_path, monkeypatch):
    monkeypatch.setattr("domainvi.train._processes.PATIENCE", 2)
    fit = {**FIT, "max_epochs": 40, "plan_kwargs": {"lr": 0.1}}
    whole = fresh(cohorts)
    whole.train(**fit)
    n_epochs = len(whole.history["train_loss"])
    assert 3 < n_epochs < 40
    for step in (20 * (n_epochs - 1) + 3, 10_000):
        directory = tmp_path / str(step)
        broken = fresh(cohorts)
        try:
            broken.train(**fit, checkpoint_dir=directory, callbacks=[Break(step)])
        except Boom:
            assert step < 10_000
        resumed = fresh(cohorts)
        resumed.train(**fit, checkpoint_dir=directory, resume=True)
        assert_same(whole, resumed)


def test_checkpoints_every_other_epoch_and_without_held_out_rows(cohorts, tmp_path):
    fit = {**FIT, "train_size": 1.0, "checkpoint_every": 2}
    whole = fresh(cohorts)
    whole.train(**fit)
    with pytest.raises(Boom):
        fresh(cohorts).train(**fit, checkpoint_dir=tmp_path / "c", callbacks=[Break(71)])
    seen = []

    class Spy(pl.Callback):
        def on_train_epoch_start(self, trainer, *_):
            seen.append(trainer.current_epoch)

    resumed = fresh(cohorts)
    resumed.train(**fit, checkpoint_dir=tmp_path / "c", resume=True, callbacks=[Spy()])
    assert seen == [2, 3]
    assert_same(whole, resumed)


def test_a_checkpoint_holds_no_code_and_is_no_model(cohorts, tmp_path):
    fresh(cohorts).train(**{**FIT, "max_epochs": 1}, checkpoint_dir=tmp_path / "c")
    names = sorted(p.name for p in (tmp_path / "c").iterdir())
    assert names[0] == "model.json"
    assert names[1].endswith(".safetensors")
    assert len(names) == 2
    with pytest.raises(ModelFileError, match="holds a checkpoint, not a DomainVI"):
        dv.DomainVI.load(tmp_path / "c")


def test_another_training_is_refused(cohorts, tmp_path):
    directory = tmp_path / "c"
    fresh(cohorts).train(**{**FIT, "max_epochs": 1}, checkpoint_dir=directory)
    with pytest.raises(InputError, match="holds a checkpoint already"):
        fresh(cohorts).train(**FIT, checkpoint_dir=directory)
    with pytest.raises(InputError, match="other arguments"):
        fresh(cohorts).train(**FIT, checkpoint_dir=directory, resume=True)
    with pytest.raises(InputError, match="other model parameters"):
        fresh(cohorts, seed=1).train(
            **{**FIT, "max_epochs": 1}, checkpoint_dir=directory, resume=True
        )
    fresh(cohorts).save(tmp_path / "model")
    with pytest.raises(ModelFileError, match="holds a model, not a checkpoint"):
        fresh(cohorts).train(**FIT, checkpoint_dir=tmp_path / "model", resume=True)


@pytest.mark.parametrize("part", ["X", "age", "sex"])
def test_a_training_on_other_data_is_refused(cohorts, tmp_path, part):
    def made(seed):
        adata, rng = cohorts(), np.random.default_rng(0)
        adata.obs["age"] = rng.normal(50, 10, adata.n_obs)
        adata.obs["sex"] = rng.choice(["f", "m"], adata.n_obs)
        order = np.random.default_rng(seed).permutation(adata.n_obs) if seed else slice(None)
        if part == "X":
            adata.X = np.asarray(adata.X)[order]
        else:
            adata.obs[part] = adata.obs[part].to_numpy()[order]
        dv.DomainVI.setup_anndata(
            adata,
            batch_key="domain",
            labels_key="label",
            target_keys=["age"],
            categorical_covariate_keys=["sex"],
        )
        return dv.DomainVI(adata, **SMALL)

    fit = {**FIT, "max_epochs": 1, "checkpoint_dir": tmp_path / "c"}
    made(0).train(**fit)
    with pytest.raises(InputError, match="is of a training with other"):
        made(1).train(**fit, resume=True)
    made(0).train(**fit, resume=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resume": True}, "resume=True needs checkpoint_dir"),
        ({"checkpoint_every": 0}, "checkpoint_every=0 must be"),
        ({"checkpoint_every": 1.5}, "checkpoint_every=1.5 must be"),
    ],
)
def test_arguments_out_of_range(cohorts, arguments, message):
    with pytest.raises(InputError, match=message):
        fresh(cohorts).train(**FIT, **arguments)


def test_a_folder_that_cannot_be_written_is_noticed_before_training(cohorts, tmp_path):
    (tmp_path / "file").write_text("no folder")
    model = fresh(cohorts)
    before = {k: v.clone() for k, v in model.module.modalities.only.z_encoder.state_dict().items()}
    with pytest.raises(ModelFileError, match="The model in memory is intact"):
        model.train(**FIT, checkpoint_dir=tmp_path / "file" / "c")
    assert not model.is_trained_
    assert torch.equal(before["mean.weight"], model.module.modalities.only.z_encoder.mean.weight)
    model.train(**FIT)
    assert model.is_trained_


def test_a_disk_that_fills_up_leaves_a_model_that_can_be_used(cohorts, tmp_path, monkeypatch):
    real, calls = os.write, []

    def full(descriptor, data):
        calls.append(len(data))
        if len(calls) > 4:  # two files for each of two checkpoints
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    model = fresh(cohorts)
    monkeypatch.setattr("domainvi.io._atomic.os.write", full)
    with pytest.raises(
        ModelFileError, match=r"Free some space.* weights of epoch \d, the best of 2"
    ):
        model.train(**FIT, checkpoint_dir=tmp_path / "c")
    monkeypatch.undo()
    assert model.is_trained_
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()
    assert len(list((tmp_path / "c").iterdir())) == 2
    model.save(tmp_path / "model")
    resumed, whole = fresh(cohorts), fresh(cohorts)
    resumed.train(**FIT, checkpoint_dir=tmp_path / "c", resume=True)
    whole.train(**FIT)
    assert_same(whole, resumed)


@pytest.mark.parametrize("change", [{"directory": "elsewhere"}, {"rows": None}, {"random": None}])
def test_a_checkpoint_sets_nothing_but_the_progress_of_a_training(cohorts, tmp_path, change):
    fit = {**FIT, "max_epochs": 1, "checkpoint_dir": tmp_path / "c"}
    fresh(cohorts).train(**fit)
    tensors, metadata = read_model(tmp_path / "c")
    (kept,) = (v for k, v in metadata["checkpoint"]["callbacks"].items() if "BestWeights" in k)
    for name, value in change.items():
        if value is None:
            del kept[name]
        else:
            kept[name] = value
    write_model(tmp_path / "c", tensors, metadata, overwrite=True, package_version="1")
    with pytest.raises(ModelFileError, match="is no complete checkpoint.*Remove it"):
        fresh(cohorts).train(**fit, resume=True)
