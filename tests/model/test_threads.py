"""Threads do not get in each other's way, and forked processes work or say why they cannot.

Nothing is forked from the process of the tests, where torch has run: see ``fork_process.py``.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.processes import environment, run_to_end
from threadpoolctl import threadpool_limits

import domainvi as dv

from .conftest import QUIET, small_cohorts

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}


def train(seed: int) -> dict[str, np.ndarray]:
    adata = small_cohorts(n_obs=120, seed=seed)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, seed=seed, **SMALL)
    model.train(max_epochs=2, batch_size=32, **QUIET)
    state = {k: v.numpy().copy() for k, v in model.module.state_dict().items()}
    return state | {"prediction": model.predict(soft=True).to_numpy()}


def assert_equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.fixture(scope="module")
def serial() -> list[dict[str, np.ndarray]]:
    one_thread()
    return [train(seed) for seed in range(3)]


def one_thread() -> None:
    """Compute on one thread: torch and OpenMP keep the number for each thread by itself."""
    torch.set_num_threads(1)
    threadpool_limits(1)


@pytest.fixture(autouse=True)
def computes_on_one_thread() -> None:
    one_thread()


def alike(n_workers: int) -> ThreadPoolExecutor:
    """Workers that compute as the main thread does, so that sums are equal to the last bit."""
    return ThreadPoolExecutor(n_workers, initializer=one_thread)


def test_trainings_in_threads_are_those_done_one_by_one(serial) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    with alike(3) as pool:
        for expected, found in zip(serial, pool.map(train, range(3)), strict=True):
            assert_equal(expected, found)
    assert torch.equal(torch.get_rng_state(), before)


def test_predictions_from_threads_agree_with_serial_ones() -> None:
    adata = small_cohorts(n_obs=240)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, **SMALL)
    model.train(max_epochs=1, **QUIET)
    queries = [small_cohorts(n_obs=120, n_domains=2 + i % 2, seed=i) for i in range(4)]
    expected = [model.predict(q, soft=True).to_numpy() for q in queries] * 4
    own = model.get_latent_representation()
    before = torch.get_rng_state()
    with alike(4) as pool:
        found = list(pool.map(lambda q: model.predict(q, soft=True).to_numpy(), queries * 4))
        latents = list(pool.map(lambda _: model.get_latent_representation(), range(4)))
    for left, right in zip(expected, found, strict=True):
        np.testing.assert_array_equal(left, right)
    for z in latents:
        np.testing.assert_array_equal(z, own)
    assert torch.equal(torch.get_rng_state(), before)


# --- forked processes -----------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def fresh_interpreter(case: str) -> dict[str, Any]:
    """What a case of ``fork_process.py`` answers, without variables that a user would not set."""
    script = Path(__file__).with_name("fork_process.py")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    # One thread where the case asks for it: BLAS threads would wait for each other without a need.
    number = "1" if case == "after_one_thread" else None
    variables = environment(**dict.fromkeys(names, number))
    done = run_to_end([sys.executable, "-W", "ignore", script, case], check=True, env=variables)
    return json.loads(done.stdout.splitlines()[-1])


@needs_fork
@pytest.mark.parametrize(
    "case",
    [
        pytest.param("before", marks=pytest.mark.slow),
        pytest.param("beside_a_thread", marks=pytest.mark.slow),
        pytest.param("after_one_thread", marks=pytest.mark.slow),
    ],
)
def test_forked_workers_train_as_one_process_does(case: str) -> None:
    found = fresh_interpreter(case)
    assert len(set(found["serial"])) == 2
    assert found["forked"] == found["serial"]


@needs_fork
def test_workers_forked_after_threads_have_worked_are_refused() -> None:
    found = fresh_interpreter("after")
    for call in ("train", "predict", "make"):
        name, message = found[call]
        assert name == "ForkedProcessError"
        assert "forked after DomainVI had worked with 2 threads" in message
        assert 'multiprocessing.get_context("spawn")' in message
    assert found["one thread in the worker"] == [found["serial"]] * 2
