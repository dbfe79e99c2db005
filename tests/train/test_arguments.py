"""Arguments of ``train`` are checked before anything is computed, and training says little."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from scvi.train import SaveCheckpoint

import domainvi as dv
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
MODELS = ("DomainVI", "DisentangledVI")


def make(kind: str, adata: AnnData) -> Any:
    if kind == "DomainVI":
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        return dv.DomainVI(adata)
    factors = {"biological": ["label_true"], "technical": ["domain"]}
    dv.DisentangledVI.setup_anndata(adata, factor_groups=factors)
    return dv.DisentangledVI(adata)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"typo": 1}, "no argument typo=1"),
        ({"max_epoch": 3}, "did you mean max_epochs"),
        ({"n_epochs": 3}, "use max_epochs"),
        ({"shuffle_set_split": False}, "the split is drawn by the model's seed"),
        ({"accelerator": "quantum"}, "quantum"),
        ({"precision": "7-bit"}, "7-bit"),
        ({"devices": "many"}, "devices"),
        ({"early_stopping_patienc": 3}, "patienc"),
        ({"early_stopping_mode": "most"}, "most"),
        ({"callbacks": [3]}, "callbacks has 3"),
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"checkpoint_every": 0, "checkpoint_dir": "x"}, "checkpoint_every=0"),
        ({"resume": True}, "needs checkpoint_dir"),
        ({"plan_kwargs": {"typo": 1}}, "plan_kwargs has typo"),
    ],
)
def test_arguments_are_refused_before_anything_is_changed(
    cohorts: Callable[..., AnnData], kind: str, arguments: dict[str, Any], message: str
) -> None:
    model = make(kind, cohorts())
    state = copy.deepcopy(model.module.state_dict())
    fitted = repr(model.fitted)
    with pytest.raises(InputError, match=message):
        model.train(**{"enable_progress_bar": False, "max_epochs": 1, **arguments})
    assert all(torch.equal(state[k], v) for k, v in model.module.state_dict().items())
    assert repr(model.fitted) == fitted
    assert not model.is_trained


# --- checkpoint callbacks -------------------------------------------------------------------------


def test_checkpoints_of_scvi_tools_are_models(
    cohorts: Callable[..., AnnData], tmp_path: Path
) -> None:
    adata = cohorts()
    saver = SaveCheckpoint(dirpath=str(tmp_path))
    model = make("DomainVI", adata)
    model.train(max_epochs=2, enable_checkpointing=True, callbacks=saver, **QUIET)
    assert model.is_trained
    loaded = dv.DomainVI.load(saver.best_model_path, adata)
    assert len(loaded.predict()) == adata.n_obs


def test_checkpoints_of_lightning_are_written(
    cohorts: Callable[..., AnnData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # scvi-tools writes a checkpoint of its own besides.
    monkeypatch.setattr("scvi.settings._logging_dir", tmp_path / "log")
    model = make("DomainVI", cohorts())
    callback = ModelCheckpoint(dirpath=tmp_path)
    model.train(max_epochs=1, enable_checkpointing=True, callbacks=[callback], **QUIET)
    assert list(tmp_path.glob("*.ckpt"))
    assert len(model.history["train_loss"]) == 1


@pytest.mark.parametrize("option", ["load_best_on_end", "check_nan_gradients"])
def test_callbacks_that_read_pickles_are_refused(
    cohorts: Callable[..., AnnData], tmp_path: Path, option: str
) -> None:
    model = make("DomainVI", cohorts())
    saver = SaveCheckpoint(dirpath=str(tmp_path), **{option: True})
    with pytest.raises(InputError, match=f"SaveCheckpoint\\({option}=True\\) reads the pickles"):
        model.train(max_epochs=1, callbacks=[saver], **QUIET)
    with pytest.raises(InputError, match="both write checkpoints"):
        model.train(checkpoint_dir=tmp_path, callbacks=[ModelCheckpoint()], **QUIET)


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:.*LeafSpec", "error:Found .* module")
@pytest.mark.parametrize("kind", MODELS)
def test_training_says_nothing_that_is_not_ours(
    cohorts: Callable[..., AnnData],
    kind: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = make(kind, cohorts())
    capfd.readouterr()
    caplog.clear()
    speaker = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    with caplog.at_level(logging.INFO):
        speaker.addHandler(caplog.handler)
        try:
            for _ in range(2):  # the second time from eval mode
                model.train(max_epochs=1, enable_progress_bar=False)
            if kind == "DomainVI":
                make(kind, cohorts()).pretrain(max_epochs=1, enable_progress_bar=False)
        finally:
            speaker.removeHandler(caplog.handler)
    said = [r.getMessage() for r in caplog.records if not r.name.startswith("domainvi")]
    assert said == []
    written = capfd.readouterr()
    assert "available" not in written.err
    assert written.out == ""
    speaker.info("GPU available: in other trainings this is still said")
    assert speaker.filters == []
