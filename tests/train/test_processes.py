"""Two processes train as one does, stop together, and write once."""

import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
from lightning.pytorch.strategies import DDPStrategy
from tests.processes import ONE_THREAD, environment, run_to_end, started

import domainvi as dv
from domainvi.errors import InputError
from domainvi.train import is_distributed, is_main_process, trainer_arguments
from domainvi.train._processes import ResumedEarlyStopping

SCRIPT = Path(__file__).with_name("ddp_process.py")


def command(folder, n_processes, lr):
    folder.mkdir()
    return [sys.executable, str(SCRIPT), str(folder), str(n_processes), str(lr)]


def run(folder, n_processes, lr):
    made = command(folder, n_processes, lr)
    run_to_end(made, check=True, cwd=folder, env=environment(**ONE_THREAD))
    return [json.loads(p.read_text()) for p in sorted(folder.glob("rank_*.json"))]


def run_on_nodes(folders, lr, timeout=120):
    """Start a process for each folder as SLURM does on as many nodes, one task a node."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {
        "OMP_NUM_THREADS": "1",
        "MASTER_PORT": str(port),
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "training",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": str(len(folders)),
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_LOCALID": "0",
    }
    with ExitStack() as running:
        for i, folder in enumerate(folders):
            own = environment(**job, SLURM_PROCID=str(i), SLURM_NODEID=str(i))
            made = command(folder, len(folders), lr)
            errors = running.enter_context((folder.parent / f"errors_{i}").open("w"))
            running.enter_context(started(made, timeout, cwd=folder, env=own, stderr=errors))
    return [json.loads((f / f"rank_{i}.json").read_text()) for i, f in enumerate(folders)]


def written(folder):
    return {p.relative_to(folder).parts[0] for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Folder and outcomes of two processes of one node."""
    folder = tmp_path_factory.mktemp("processes") / "two"
    return folder, run(folder, 2, 1e-2)


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(tmp_path, two):
    (alone,) = run(tmp_path / "one", 1, 1e-2)
    folder, (first, second) = two
    assert first["weights"] == second["weights"]
    assert first["predicted"] == second["predicted"]
    for name in ("train_loss", "validation_loss"):
        a, b = (np.array(m["history"][name]) for m in (alone, first))
        np.testing.assert_allclose(a, b, rtol=0.01)
    agreement = np.mean(np.array(alone["predicted"]) == np.array(first["predicted"]))
    assert agreement > 0.98
    assert not second["history"]
    assert written(folder) == {"model", "rank_0.json", "rank_1.json"}
    assert len(list((folder / "model").iterdir())) == 2


@pytest.mark.slow
def test_two_nodes_train_as_two_processes_of_one(tmp_path, two):
    expected = two[1]
    nodes = [tmp_path / "node_0", tmp_path / "node_1"]
    first, second = run_on_nodes(nodes, 1e-2)
    assert first["weights"] == second["weights"]
    assert first["weights"] == pytest.approx(expected[0]["weights"], rel=1e-5)
    assert first["predicted"] == second["predicted"] == expected[0]["predicted"]
    for name, values in expected[0]["history"].items():
        np.testing.assert_allclose(first["history"][name], values, rtol=0.01)
    assert not second["history"]
    assert written(nodes[0]) == {"model", "rank_0.json"}
    assert written(nodes[1]) == {"rank_1.json"}


@pytest.mark.slow
def test_both_processes_stop_at_the_same_epoch(tmp_path):
    outcomes = run(tmp_path / "two", 2, 0.5)
    assert outcomes[0]["epochs"] == outcomes[1]["epochs"] < 60
    assert len(outcomes[0]["history"]["validation_loss"]) == outcomes[0]["epochs"]


def test_auxiliary_phenotypes_are_trained_in_one_process():
    adata = dv.data.synthetic_cohorts(n_obs=60, n_genes=40, seed=1)
    adata.obs["sex"] = ["f", "m"] * 30
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label", target_keys=["sex"])
    model = dv.DomainVI(adata)
    for arguments in ({"strategy": "ddp"}, {"devices": 2}, {"devices": "2"}):
        with pytest.raises(InputError, match="one process"):
            model.train(accelerator="cpu", **arguments)
    assert not model.fitted.is_scaled


@pytest.mark.parametrize(
    ("devices", "others", "expected"),
    [
        (2, {}, True),
        ("2", {}, True),
        (1, {}, False),
        ("auto", {"strategy": "auto"}, False),
        (1, {"num_nodes": 2}, True),
        (1, {"strategy": DDPStrategy()}, True),
    ],
)
def test_devices_decide_as_lightning_does(devices, others, expected):
    assert is_distributed("cpu", devices, others) is expected
    trainer = pl.Trainer(accelerator="cpu", devices=devices, logger=False, **others)
    assert isinstance(trainer.strategy, DDPStrategy) is expected


@pytest.mark.parametrize("devices", [1, 2])
def test_early_stopping_is_as_asked_for(devices):
    asked = {"early_stopping_patience": 3, "early_stopping_monitor": "train_loss"}
    asked |= {"early_stopping_min_delta": 0.1, "early_stopping_warmup_epochs": 7}
    found = trainer_arguments("cpu", devices, True, 20, asked)
    (stop,) = found["callbacks"]
    assert (stop.patience, stop.monitor, abs(stop.min_delta)) == (3, "train_loss", 0.1)
    assert stop.warmup_epochs == 7
    assert found["check_val_every_n_epoch"] == 1
    assert not [name for name in found if name.startswith("early_stopping")]


def test_without_early_stopping_held_out_rows_are_not_looked_at():
    found = trainer_arguments("cpu", 1, False, 20, {"enable_progress_bar": False})
    assert found == {"accelerator": "cpu", "devices": 1, "enable_progress_bar": False}
    assert is_main_process()


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", DDPStrategy()])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_several_processes_bring_their_own(strategy, early_stopping):
    found = trainer_arguments("cpu", 2, early_stopping, 20, {"strategy": strategy})
    stops = [c for c in found.get("callbacks", ()) if isinstance(c, ResumedEarlyStopping)]
    assert [s.warmup_epochs for s in stops] == [20] * early_stopping
    assert found["use_distributed_sampler"] is False
    assert "early_stopping" not in found
