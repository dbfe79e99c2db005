"""The user's objects: unchanged, also by calls that fail midway, and not kept alive."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
from tests.processes import MINUTE, ONE_THREAD, environment, run_to_end

import domainvi as dv
from domainvi.errors import DomainVIError, TrainingError
from domainvi.model import _annotate

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}
KEYS = {"batch_key": "domain", "labels_key": "label"}


class Boom(Exception):
    """A fault that nobody expects."""


class Break(pl.Callback):
    def on_before_zero_grad(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == 3:
            raise Boom


class Spoil(pl.Callback):
    def on_train_batch_start(self, trainer: pl.Trainer, _plan: object, batch: dict, _: int) -> None:
        if trainer.global_step == 3:
            batch["X"].fill_(np.nan)


def snapshot(adata: AnnData) -> AnnData:
    adata.uns["mine"] = {"list": ["a", "b"], "colors": np.array(["#111111"])}
    adata.obsm["X_mine"] = np.arange(adata.n_obs * 2.0).reshape(-1, 2)
    adata.layers["mine"] = np.asarray(adata.X) + 1
    return adata.copy()


def assert_unchanged(adata: AnnData, before: AnnData, *, besides: tuple[str, ...] = ()) -> None:
    np.testing.assert_array_equal(adata.X, before.X)
    assert np.asarray(adata.X).dtype == np.asarray(before.X).dtype
    pd.testing.assert_frame_equal(adata.obs.drop(columns=[*besides], errors="ignore"), before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    for part in ("obsm", "varm", "layers", "obsp", "varp", "uns"):
        now, then = getattr(adata, part), getattr(before, part)
        assert set(now) - set(besides) == set(then), part
    np.testing.assert_array_equal(adata.obsm["X_mine"], before.obsm["X_mine"])
    np.testing.assert_array_equal(adata.layers["mine"], before.layers["mine"])
    assert adata.uns["mine"]["list"] == ["a", "b"]
    assert adata.uns["mine"]["colors"].tolist() == ["#111111"]


def test_nothing_changes_but_the_documented_keys(tmp_path: Path) -> None:
    adata = small_cohorts(n_obs=120)
    before = snapshot(adata)
    dv.DomainVI.setup_anndata(adata, **KEYS)
    model = dv.DomainVI(adata, **SMALL)
    model.train(max_epochs=1, checkpoint_dir=tmp_path / "c", **QUIET)
    model.predict()
    model.get_latent_representation()
    model.save(tmp_path / "m")
    dv.DomainVI.load(tmp_path / "m", adata).predict()
    dv.DomainVI.load_query_data(adata, model)
    assert_unchanged(adata, before)
    model.annotate(adata)
    written = ("label_pred", "label_conf", "label_unknown")
    assert_unchanged(adata, before, besides=(*written, "X_domainvi", "label_prob", "domainvi"))


def test_nothing_changes_when_a_call_fails_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    adata = small_cohorts(n_obs=120)
    before = snapshot(adata)
    with pytest.raises(DomainVIError):
        dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="nothing")
    dv.DomainVI.setup_anndata(adata, **KEYS)
    model = dv.DomainVI(adata, **SMALL)
    for callback, error in ((Break(), Boom), (Spoil(), TrainingError)):
        with pytest.raises(error):
            model.train(max_epochs=1, callbacks=[callback], **QUIET)
        assert_unchanged(adata, before)
    model.train(max_epochs=1, **QUIET)

    def fail(*_: object, **__: object) -> None:
        raise Boom

    for step in ("outputs", "unknown_p_values", "summarise", "add_verdict"):
        with monkeypatch.context() as patch:
            patch.setattr(_annotate, step, fail)
            with pytest.raises(Boom):
                model.annotate(adata)
        assert_unchanged(adata, before)
    other = before[:, :20].copy()
    with pytest.raises(DomainVIError):
        model.annotate(other)
    with pytest.raises(DomainVIError):
        dv.DomainVI.load_query_data(other, model)
    assert "label_pred" not in other.obs
    pd.testing.assert_frame_equal(other.obs, before.obs)


def test_no_data_are_kept_alive() -> None:
    adata, query = small_cohorts(n_obs=120), small_cohorts(n_obs=120, n_domains=3)
    dv.DomainVI.setup_anndata(adata, **KEYS)
    model = dv.DomainVI(adata, **SMALL)
    model.train(max_epochs=1, **QUIET)
    model.predict(query)
    mapped = dv.DomainVI.load_query_data(query, model)
    mapped.train(max_epochs=1, **QUIET)
    prepared = model._validate_anndata()
    alive = [weakref.ref(x) for x in (adata, query, model, mapped, prepared, mapped.module)]
    del adata, query, model, mapped, prepared
    # The first pass frees the data, and with them the entry that holds what was prepared.
    gc.collect()
    gc.collect()
    assert [ref() is None for ref in alive] == [True] * len(alive)


def test_a_setup_ends_with_its_data() -> None:
    store = dv.DomainVI._setups
    n_before = len(store)
    adata = small_cohorts(n_obs=120)
    for _ in range(3):
        dv.DomainVI.setup_anndata(adata, **KEYS)
    assert len(store) == n_before + 1
    del adata
    gc.collect()
    assert len(store) == n_before


MANY = """
import gc, resource, sys
import domainvi as dv

def resident():
    with open("/proc/self/statm") as handle:
        return int(handle.read().split()[1]) * resource.getpagesize()

source = dv.data.synthetic_cohorts(n_obs=400, n_genes=2000, seed=1)

def create(train):
    adata = source.copy()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata)
    if train:
        model.train(max_epochs=1, enable_progress_bar=False)
        model.predict()

n, train = int(sys.argv[1]), sys.argv[2] == "train"
for i in range(n):
    create(train)
    gc.collect()
    if i == n // 4:
        start = resident()
print(resident() / start)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("n", "what"), [(60, "create"), (12, "train")])
def test_many_models_take_no_more_memory_than_a_few(n: int, what: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", MANY, str(n), what]
    done = run_to_end(command, check=True, timeout=15 * MINUTE, env=environment(**ONE_THREAD))
    assert float(done.stdout.split()[-1]) < 1.05
