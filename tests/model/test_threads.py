"""Threads and forked processes do not get in each other's way.

Where threads have used MKL before a fork, the next matrix product of the child can hang (torch
2.13, none of our code needed), so the tests that fork come first.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

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
    return [train(seed) for seed in range(3)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_trainings_in_forked_workers_too(serial) -> None:
    with mp.get_context("fork").Pool(2) as pool:
        for expected, found in zip(serial, pool.map(train, range(3)), strict=True):
            assert_equal(expected, found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_forked_while_another_thread_trains(serial) -> None:
    from domainvi.train import seeded

    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with seeded(0, devices=[]):
            begun.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    try:
        with mp.get_context("fork").Pool(1) as pool:
            found = pool.apply_async(train, (0,)).get(timeout=120)
    finally:
        done.set()
        thread.join()
    assert_equal(serial[0], found)


def test_trainings_in_threads_are_those_done_one_by_one(serial) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
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
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda q: model.predict(q, soft=True).to_numpy(), queries * 4))
        latents = list(pool.map(lambda _: model.get_latent_representation(), range(4)))
    for left, right in zip(expected, found, strict=True):
        np.testing.assert_array_equal(left, right)
    for z in latents:
        np.testing.assert_array_equal(z, own)
    assert torch.equal(torch.get_rng_state(), before)
