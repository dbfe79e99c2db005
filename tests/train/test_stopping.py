"""What ends a training early: interrupts and numerical faults leave a model that can be used."""

import logging
import signal
import sys
import threading

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tests.processes import ONE_THREAD, environment, run_to_end

import domainvi as dv
from domainvi.errors import TrainingError
from domainvi.train import interruptible

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}
FIT = {"max_epochs": 4, "batch_size": 32, "enable_progress_bar": False}


class At(pl.Callback):
    """Do something in the middle of a step."""

    def __init__(self, step, act):
        self.step, self.act, self.last = step, act, 0

    def on_train_batch_start(self, trainer, plan, batch, _index):
        self.last = trainer.global_step
        if trainer.global_step == self.step:
            self.act(plan, batch)


def interrupt(*_):
    signal.raise_signal(signal.SIGINT)


def fresh(cohorts, **kwargs):
    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    return dv.DomainVI(adata, **{**SMALL, **kwargs})


def same_weights(model, other):
    state = other.module.state_dict()
    return all(torch.equal(v, state[k]) for k, v in model.module.state_dict().items())


def test_an_interrupt_ends_after_the_step_with_the_best_weights(cohorts, caplog):
    before = signal.getsignal(signal.SIGINT)
    model, at = fresh(cohorts), At(47, interrupt)
    with caplog.at_level(logging.WARNING, "domainvi"), pytest.raises(KeyboardInterrupt):
        model.train(**FIT, callbacks=[at])
    assert at.last == 47
    assert signal.getsignal(signal.SIGINT) is before
    whole, snapshots = fresh(cohorts), {}

    def remember(trainer, plan):
        state = plan.module.state_dict()
        snapshots[trainer.current_epoch] = {k: v.clone() for k, v in state.items()}

    class Spy(pl.Callback):
        def on_train_epoch_start(self, trainer, plan):
            remember(trainer, plan)

    whole.train(**FIT, callbacks=[Spy()])
    loss = whole.history["validation_loss"].to_numpy(float).ravel()[:2]
    best = int(loss.argmin()) + 1
    assert f"weights of epoch {best}, the best of 2 that were finished of 4" in caplog.text
    weights = model.module.state_dict()
    assert all(torch.equal(v, weights[k]) for k, v in snapshots[best].items())
    assert model.is_trained_
    assert model.fitted.calibration
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


def test_an_interrupt_in_the_first_epoch_keeps_what_was_reached(cohorts, caplog):
    model = fresh(cohorts)
    with caplog.at_level(logging.WARNING, "domainvi"), pytest.raises(KeyboardInterrupt):
        model.train(**FIT, callbacks=[At(3, interrupt)])
    assert "weights that it had reached, in epoch 1 of 4" in caplog.text
    assert model.is_trained_
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


def test_an_interrupted_training_can_be_resumed(cohorts, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fresh(cohorts).train(**FIT, checkpoint_dir=tmp_path / "c", callbacks=[At(47, interrupt)])
    resumed, whole = fresh(cohorts), fresh(cohorts)
    resumed.train(**FIT, checkpoint_dir=tmp_path / "c", resume=True)
    whole.train(**FIT)
    assert same_weights(resumed, whole)


def test_a_second_interrupt_does_not_wait(cohorts):
    def twice(*_):
        interrupt()
        interrupt()

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fresh(cohorts).train(**FIT, callbacks=[At(3, twice)])
    assert signal.getsignal(signal.SIGINT) is before


def test_another_exit_stays_one():
    class Quiet:
        interrupted = False

    with pytest.raises(SystemExit, match="3"), interruptible(Quiet()):
        sys.exit(3)


def test_training_outside_of_the_main_thread(cohorts):
    model, failures = fresh(cohorts), []

    def work():
        try:
            model.train(**{**FIT, "max_epochs": 1})
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failures == []
    assert model.is_trained_


TERMINATED = """
import os, signal, sys
import lightning.pytorch as pl
import domainvi as dv
class At(pl.Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 47:
            os.kill(os.getpid(), signal.SIGTERM)
adata = dv.data.synthetic_cohorts(n_obs=120, n_genes=60, seed=1)
dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
model.train(max_epochs=4, batch_size=32, enable_progress_bar=False, checkpoint_dir=sys.argv[1],
            callbacks=[At()])
"""


@pytest.fixture
def one_thread():
    """As in the other process: sums to the last bit, whatever earlier tests made of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_terminated_process_says_so_and_can_be_resumed(cohorts, tmp_path, one_thread):
    command = [sys.executable, "-W", "ignore", "-c", TERMINATED, str(tmp_path / "c")]
    done = run_to_end(command, env=environment(**ONE_THREAD))
    assert done.returncode == -signal.SIGTERM
    resumed, whole = fresh(cohorts), fresh(cohorts)
    seen = []

    class Spy(pl.Callback):
        def on_train_epoch_start(self, trainer, *_):
            seen.append(trainer.current_epoch)

    resumed.train(**FIT, checkpoint_dir=tmp_path / "c", resume=True, callbacks=[Spy()])
    whole.train(**FIT)
    assert seen == [2, 3]
    assert same_weights(resumed, whole)


# --- numerical faults -----------------------------------------------------------------------------


def spoil_row(_plan, batch):
    batch["X"][5] = torch.inf


def spoil_classifier(plan, _batch):
    with torch.no_grad():
        plan.module.classifier.linear.bias.fill_(torch.nan)


def test_a_spoilt_row_is_named(cohorts):
    rows = []

    def spoil(plan, batch):
        spoil_row(plan, batch)
        rows.append(int(batch["rows"][5]))

    model = fresh(cohorts)
    with pytest.raises(TrainingError) as caught:
        model.train(**FIT, callbacks=[At(47, spoil)])
    message = str(caught.value)
    assert "reconstruction_loss" in message
    assert f"in step 48, rows {rows[0]} of the data. Use a smaller learning rate" in message
    assert "The model has the weights of epoch" in message
    assert model.is_trained_
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()
    assert len(model.history["train_loss"]) == 2


def test_the_term_that_broke_is_named_with_the_rows_of_the_batch(cohorts):
    model = fresh(cohorts)
    with pytest.raises(TrainingError) as caught:
        model.train(**FIT, callbacks=[At(47, spoil_classifier)])
    message = str(caught.value)
    assert message.startswith("classification_loss, teaching_loss")
    assert "more of the data" in message
    assert "reconstruction" not in message
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


def test_a_fault_in_the_gradients_is_caught_before_they_are_used(cohorts):
    def poison(plan, _batch):
        weight = plan.module.modalities.only.decoder.output.weight
        weight.register_hook(lambda gradient: gradient * torch.nan)

    model = fresh(cohorts)
    with pytest.raises(TrainingError, match="^gradient became NaN or infinite in step 48"):
        model.train(**FIT, callbacks=[At(47, poison)])
    assert all(torch.isfinite(v).all() for v in model.module.parameters())


def test_a_fault_in_the_first_epoch_leaves_the_model_as_it_was(cohorts):
    model = fresh(cohorts)
    with pytest.raises(TrainingError, match="No epoch was finished: the model is as it was"):
        model.train(**FIT, callbacks=[At(3, spoil_row)])
    assert not model.is_trained_
    model.train(**FIT)
    whole = fresh(cohorts)
    whole.train(**FIT)
    assert same_weights(model, whole)
