"""Extreme shapes and values: each works, or is refused before training with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import domainvi as dv
from domainvi.errors import InputError

from .conftest import QUIET

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}
KEYS = {"batch_key": "domain", "labels_key": "label"}


def planted(
    label: Sequence[int],
    domain: Sequence[int],
    n_genes: int = 60,
    *,
    counts: bool = False,
    seed: int = 0,
) -> ad.AnnData:
    """Rows with these classes and domains; the classes differ in every gene."""
    rng = np.random.default_rng(seed)
    label, domain = np.asarray(label), np.asarray(domain)
    mean = rng.normal(2.0, 1.0, (label.max() + 1, n_genes))[label]
    mean += rng.normal(0.0, 0.3, (domain.max() + 1, n_genes))[domain]
    x = rng.poisson(np.exp(mean)) if counts else rng.normal(mean, 0.3)
    obs = pd.DataFrame(
        {"label": [f"c{i}" for i in label], "domain": [f"d{i}" for i in domain]},
        index=[f"r{i}" for i in range(len(label))],
    )
    obs["truth"] = obs["label"]
    var = pd.DataFrame(index=[f"g{i}" for i in range(n_genes)])
    return ad.AnnData(x.astype(np.float32), obs=obs, var=var)


def hide(adata: ad.AnnData, rows: np.ndarray) -> ad.AnnData:
    adata.obs.loc[adata.obs_names[rows], "label"] = "Unknown"
    return adata


def fit(adata: ad.AnnData, epochs: int = 2, **kwargs: object) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, **KEYS)
    model = dv.DomainVI(adata, **{**SMALL, **kwargs})
    model.train(max_epochs=epochs, **QUIET)
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()
    return model


def accuracy(model: dv.DomainVI, adata: ad.AnnData, rows: np.ndarray) -> float:
    return float((model.predict()[rows] == adata.obs["truth"].to_numpy()[rows]).mean())


def test_twenty_genes() -> None:
    i = np.arange(120)
    adata = hide(planted(i % 3, i // 3 % 2, 20), i // 3 % 2 == 1)
    assert accuracy(fit(adata), adata, i // 3 % 2 == 1) > 0.9


@pytest.mark.parametrize("n_genes", [1, 2, 3])
def test_fewer_genes_than_anything_else(n_genes: int) -> None:
    i = np.arange(120)
    fit(hide(planted(i % 2, i // 2 % 2, n_genes), i // 2 % 2 == 1))


@pytest.mark.parametrize("counts", [True, False])
def test_constant_genes(counts: bool) -> None:
    i = np.arange(120)
    adata = planted(i % 3, i // 3 % 2, counts=counts)
    adata.X[:, :5] = 0
    adata.X[:, 5:10] = 7
    adata.X[i // 3 % 2 == 1, 10:15] = 3
    assert accuracy(fit(hide(adata, i // 3 % 2 == 1)), adata, i // 3 % 2 == 1) > 0.9


def test_nothing_but_constant_genes_is_refused() -> None:
    i = np.arange(120)
    adata = planted(i % 3, i // 3 % 2)
    adata.X[:] = np.arange(60) / 7
    with pytest.raises(InputError, match="No gene differs between rows: all 120 hold the same 60"):
        fit(adata)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_rows_of_zeros_are_counted_and_said(form: type) -> None:
    i = np.arange(120)
    adata = planted(i % 3, i // 3 % 2, counts=True)
    adata.X[:4] = 0
    adata.X = form(adata.X)
    model = fit(hide(adata, i // 3 % 2 == 1))
    with pytest.warns(UserWarning, match="4 of 120 rows hold nothing but zeros"):
        model.annotate(adata)
    assert adata.uns["domainvi"]["rows_without_values"] == 4
    full = adata[4:].copy()
    model.annotate(full)
    assert full.uns["domainvi"]["rows_without_values"] == 0


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_rows_with_a_huge_library(likelihood: str) -> None:
    i = np.arange(120)
    adata = planted(i % 3, i // 3 % 2, counts=True)
    adata.X[::40] = np.round(adata.X[::40] * 1e6)
    assert adata.X.sum(axis=1).max() > 1e8
    fit(hide(adata, i // 3 % 2 == 1), likelihood=likelihood)


def test_a_class_with_two_samples() -> None:
    i = np.arange(122)
    label = np.r_[i[:120] % 3, 3, 3]
    domain = np.r_[i[:120] // 3 % 2, 0, 0]
    adata = hide(planted(label, domain), domain == 1)
    model = fit(adata)
    assert set(np.flatnonzero(label == 3)) <= set(model.train_indices)
    assert model.classes == ["c0", "c1", "c2", "c3"]
    assert accuracy(model, adata, label == 3) == 1.0


def test_a_class_a_cohort_and_labels_that_cannot_teach_are_set_aside(tmp_path: Path) -> None:
    i = np.arange(182)
    label = np.r_[i[:180] % 3, 3, 0]
    domain = np.r_[i[:180] // 3 % 3, 0, 3]  # a cohort of one row, and one without labels
    adata = hide(planted(label, domain), domain == 1)
    with pytest.warns(UserWarning, match="one labelled row are set aside .*1 of 4, 'c3'") as said:
        dv.DomainVI.setup_anndata(adata, **KEYS)
    assert len([w for w in said if "set aside" in str(w.message)]) == 1
    model = dv.DomainVI(adata)
    model.train(max_epochs=2, enable_progress_bar=False)
    model.save(tmp_path / "model")
    for trained in (model, dv.DomainVI.load(tmp_path / "model")):
        annotated = adata.copy()
        trained.annotate(annotated)
        assert trained.classes == ["c0", "c1", "c2"]
        results = annotated.uns["domainvi"]
        assert {k: list(v) for k, v in results["classes_set_aside"].items()} == {
            KEYS["labels_key"]: ["c3"]
        }
        assert "with one labelled row cannot be predicted: 1, c3." in results["notes"][-1]
        annotated.write_h5ad(tmp_path / "annotated.h5ad")


def test_classes_of_which_only_one_can_teach_are_refused() -> None:
    i = np.arange(120)
    adata = planted(np.r_[np.zeros(119, dtype=int), 3], i // 3 % 2)
    with pytest.raises(InputError, match="one labelled row: 'c3'. At least two classes"):
        dv.DomainVI.setup_anndata(adata, **KEYS)


def test_two_rows_a_domain() -> None:
    i = np.arange(120)
    adata = hide(planted(i % 2, i // 2), i // 2 % 2 == 1)
    model = fit(adata)
    assert len(model.domains) == 60
    assert accuracy(model, adata, i // 2 % 2 == 1) > 0.5


@pytest.mark.parametrize("n_rows", [4, 6])
def test_hardly_any_rows(n_rows: int) -> None:
    i = np.arange(n_rows)
    fit(planted(i % 2, i // 2 % 2))


def test_one_domain() -> None:
    i = np.arange(60)
    fit(planted(i % 3, i * 0))


def test_two_hundred_domains() -> None:
    i = np.arange(1200)
    adata = hide(planted(i % 3, i // 6), i // 6 % 2 == 1)
    model = fit(adata, epochs=1)
    assert len(model.domains) == 200
    assert accuracy(model, adata, i // 6 % 2 == 1) > 0.7


@pytest.mark.slow
def test_five_hundred_classes() -> None:
    i = np.arange(4000)
    domain = i // 500 % 2
    adata = hide(planted(i % 500, domain, 100), domain == 1)
    model = fit(adata, epochs=1)
    assert len(model.classes) == 500
    assert accuracy(model, adata, domain == 1) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("counts", [True, False])
def test_sixty_thousand_genes(counts: bool) -> None:
    i = np.arange(80)
    adata = hide(planted(i % 2, i // 2 % 2, 60_000, counts=counts), i // 2 % 2 == 1)
    assert accuracy(fit(adata, epochs=1), adata, i // 2 % 2 == 1) > 0.9
