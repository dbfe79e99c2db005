"""Two processes train as one does, stop together, and write once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.strategies import DDPStrategy

import domainvi as dv
from domainvi.errors import InputError
from domainvi.train import is_main_process, trainer_arguments

SCRIPT = Path(__file__).with_name("ddp_process.py")


def run(folder, n_processes, lr):
    folder.mkdir()
    command = [sys.executable, str(SCRIPT), str(folder), str(n_processes), str(lr)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=folder, env=environment, timeout=300)
    return [json.loads(p.read_text()) for p in sorted(folder.glob("rank_*.json"))]


def written(folder):
    return {p.relative_to(folder).parts[0] for p in folder.rglob("*")}


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one(tmp_path):
    (alone,) = run(tmp_path / "one", 1, 1e-2)
    first, second = run(tmp_path / "two", 2, 1e-2)
    assert first["weights"] == second["weights"]
    assert first["predicted"] == second["predicted"]
    for name in ("train_loss", "validation_loss"):
        a, b = (np.array(m["history"][name]) for m in (alone, first))
        np.testing.assert_allclose(a, b, rtol=0.01)
    agreement = np.mean(np.array(alone["predicted"]) == np.array(first["predicted"]))
    assert agreement > 0.98
    assert not second["history"]
    assert written(tmp_path / "two") == {"model", "rank_0.json", "rank_1.json"}
    assert len(list((tmp_path / "two" / "model").iterdir())) == 2


@pytest.mark.slow
def test_both_processes_stop_at_the_same_epoch(tmp_path):
    outcomes = run(tmp_path / "two", 2, 0.5)
    assert outcomes[0]["epochs"] == outcomes[1]["epochs"] < 60
    assert len(outcomes[0]["history"]["validation_loss"]) == outcomes[0]["epochs"]


def test_further_phenotypes_are_trained_in_one_process():
    adata = dv.data.synthetic_cohorts(n_obs=60, n_genes=40, seed=1)
    adata.obs["sex"] = ["f", "m"] * 30
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label", target_keys=["sex"])
    model = dv.DomainVI(adata)
    with pytest.raises(InputError, match="one process"):
        model.train(devices=2, strategy="ddp")
    assert not model.is_scaled_


def test_one_process_leaves_early_stopping_to_scvi_tools():
    found = trainer_arguments("cpu", 1, True, {"enable_progress_bar": False})
    assert found["early_stopping"] is True
    assert "callbacks" not in found
    assert is_main_process()


@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", DDPStrategy()])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_several_processes_bring_their_own(strategy, early_stopping):
    found = trainer_arguments("cpu", 2, early_stopping, {"strategy": strategy})
    stops = [c for c in found["callbacks"] if isinstance(c, EarlyStopping)]
    assert len(stops) == early_stopping
    assert found["use_distributed_sampler"] is False
    assert "early_stopping" not in found
