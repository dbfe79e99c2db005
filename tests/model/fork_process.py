"""A fresh interpreter that forks workers before or after torch's first operation in it.

``python fork_process.py CASE`` prints one line: a JSON document of what the workers answered.
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing as mp
import sys
import threading
from hashlib import sha256
from typing import Any

import torch

from domainvi.data import _loaders, synthetic_cohorts
from domainvi.model import DomainVI
from domainvi.train import seeded

SECONDS = 150  # the deadline of a worker
SEEDS = (0, 1)
model: DomainVI


def train(seed: int) -> str:
    """Train a small model; the hash of its weights and predictions."""
    global model
    adata = synthetic_cohorts(n_obs=120, n_genes=120, domain_effect=2.0, seed=seed)
    DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = DomainVI(adata, seed=seed, n_latent=4, n_hidden=8, n_components=8)
    model.train(max_epochs=1, batch_size=32, enable_progress_bar=False)
    weights = [v.numpy().tobytes() for v in model.module.state_dict().values()]
    return sha256(b"".join([*weights, predict(0).encode()])).hexdigest()


def predict(_: int) -> str:
    """Predict with the model that is there already; the hash of the probabilities."""
    return sha256(model.predict(soft=True).to_numpy().tobytes()).hexdigest()


def make(seed: int) -> str:
    """Make a model and no more."""
    adata = synthetic_cohorts(n_obs=120, n_genes=120, seed=seed)
    DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    return type(DomainVI(adata)).__name__


def begin(n_threads: int) -> None:
    """Set a deadline that shows where a worker hangs, and its number of threads."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    if n_threads:
        torch.set_num_threads(n_threads)


def in_a_fork(function: Any, n_threads: int = 0) -> Any:
    """Call a function in a forked worker; the error's name and text if it raises one."""
    with mp.get_context("fork").Pool(1, begin, (n_threads,)) as pool:
        try:
            return pool.map_async(function, SEEDS).get(SECONDS + 10)
        except Exception as error:  # noqa: BLE001
            return [type(error).__name__, str(error)]


def before() -> dict[str, Any]:
    """Fork before the first operation, then train in this process too."""
    torch.set_num_threads(2)
    return {"forked": in_a_fork(train), "serial": [train(seed) for seed in SEEDS]}


def beside_a_thread() -> dict[str, Any]:
    """Fork while another thread holds torch's random numbers."""
    begun, done = threading.Event(), threading.Event()

    def hold() -> None:
        with seeded(0, devices=[]):
            begun.set()
            done.wait(SECONDS)

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    forked = in_a_fork(train)
    done.set()
    thread.join()
    return {"forked": forked, "serial": [train(seed) for seed in SEEDS]}


def after() -> dict[str, Any]:
    """Fork after a training with two threads: whatever the workers do is refused."""
    torch.set_num_threads(2)
    train(0)
    calls = {f.__name__: in_a_fork(f) for f in (train, predict, make)}
    one_thread = in_a_fork(predict, 1)
    torch.set_num_threads(1)
    return {**calls, "one thread in the worker": one_thread, "serial": predict(0)}


def after_one_thread() -> dict[str, Any]:
    """Fork after a training with one thread, which leaves nothing behind."""
    torch.set_num_threads(1)
    train(0)
    return {"forked": in_a_fork(train), "serial": [train(seed) for seed in SEEDS]}


if __name__ == "__main__":
    # Threads that wait for each other beside busy processes are slow. Not where this is imported.
    _loaders.MIN_STEPS_PER_EPOCH = 4
    sys.stdout.write(json.dumps(globals()[sys.argv[1]]()) + "\n")
