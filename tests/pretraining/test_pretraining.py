"""Pretraining through the model: it learns, says when it collapsed, and is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import domainvi as dv
from domainvi.errors import InputError, TrainingError

from .conftest import QUIET, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from domainvi import DomainVI

SMALL = {"n_latent": 8, "n_hidden": 32, "n_components": 20}


def make(adata: AnnData, **kwargs: object) -> DomainVI:
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    return dv.DomainVI(adata, **{**SMALL, **kwargs})


def probe(z: np.ndarray, truth: np.ndarray, n_labels: int = 5) -> float:
    """Accuracy on every second row of a logistic regression on a few of the others."""
    known = np.arange(len(z)) % 2 == 0
    hits = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(np.flatnonzero(known))
        rows = np.concatenate([order[truth[order] == c][:n_labels] for c in np.unique(truth)])
        fit = LogisticRegression(max_iter=500).fit(z[rows], truth[rows])
        hits.append(np.mean(fit.predict(z[~known]) == truth[~known]))
    return float(np.mean(hits))


@pytest.fixture(scope="module")
def noisy() -> AnnData:
    """Six classes of ten markers each among 200 genes, two cohorts, weak effects."""
    return dv.data.synthetic_cohorts(400, 200, 6, n_markers=10, class_effect=1.0, seed=0)


@pytest.fixture(scope="module")
def untrained(noisy: AnnData) -> float:
    """Score of the better of two encoders that learnt nothing: random, and at components."""
    truth = noisy.obs["label_true"].cat.codes.to_numpy()
    scores = []
    for from_components in (False, True):
        model = make(noisy, n_latent=32, n_hidden=128, n_components=100, scaling="domain")
        start = {
            k: v.clone() for k, v in model.module.modalities.only.z_encoder.state_dict().items()
        }
        model.pretrain(max_epochs=1, plan_kwargs={"lr": 0.0}, **QUIET)
        if not from_components:
            model.module.modalities.only.z_encoder.load_state_dict(start)
        z = model.get_pretrained_representation()
        scores.append(probe(z / z.std(), truth))
    return max(scores)


@pytest.mark.parametrize("method", ["scarf", "vime", "byol"])
def test_frozen_embedding_beats_a_random_one_by_ten_points(
    method: str, noisy: AnnData, untrained: float
) -> None:
    truth = noisy.obs["label_true"].cat.codes.to_numpy()
    model = make(noisy, n_latent=32, n_hidden=128, n_components=100, scaling="domain")
    model.pretrain(method, max_epochs=15, **QUIET)
    assert probe(model.get_pretrained_representation(), truth) > untrained + 0.1
    assert not model.fitted.pretraining.collapsed


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("byol", {"ema_decay": 0.0, "lr": 0.03}),
        ("scarf", {"weight_decay": 10.0, "lr": 0.1}),
        ("vime", {"weight_decay": 10.0, "lr": 0.1}),
    ],
)
def test_collapse_is_said_with_the_remedy(method: str, changes: dict[str, float]) -> None:
    adata = dv.data.synthetic_cohorts(240, 100, seed=0)
    model = make(adata, n_latent=32, n_hidden=128, n_components=100, scaling="domain")
    with pytest.warns(UserWarning, match="has collapsed: effective rank .* smaller lr"):
        model.pretrain(method, max_epochs=6, plan_kwargs=changes, **QUIET)
    assert model.fitted.pretraining.collapsed


def test_history_has_pretraining_and_training() -> None:
    model = make(small_cohorts())
    model.pretrain(max_epochs=3, **QUIET)
    assert {k: len(v) for k, v in model.history.items()} == {
        "pretraining_loss": 3,
        "pretraining_effective_rank": 3,
        "pretraining_alignment": 3,
        "pretraining_uniformity": 3,
    }
    assert 1 <= model.history["pretraining_effective_rank"].iloc[-1, 0] <= 8
    before = {name: values.copy() for name, values in model.history.items()}
    loss = before["pretraining_loss"].iloc[:, 0]
    assert loss.iloc[-1] < loss.iloc[0]
    model.train(max_epochs=2, **QUIET)
    for name, values in before.items():
        pd.testing.assert_frame_equal(model.history[name], values)
    loss = model.history["train_loss"].iloc[:, 0]
    assert len(loss) == 2
    assert loss.iloc[-1] < loss.iloc[0]


def test_heads_are_thrown_away_and_the_model_is_not_trained() -> None:
    model = make(small_cohorts())
    before = set(model.module.state_dict())
    model.pretrain("byol", max_epochs=1, **QUIET)
    members = {k for k in model.module.state_dict() if "expression.linear." in k}
    assert set(model.module.state_dict()) - members == before - members
    assert not model.is_trained_
    assert not model.module.training
    with pytest.raises(dv.errors.NotTrainedError):
        model.predict()
    assert all(p.requires_grad for p in model.module.modalities.only.z_encoder.parameters())


def test_train_starts_from_the_pretrained_encoder() -> None:
    model = make(small_cohorts())
    model.pretrain(max_epochs=2, **QUIET)
    before = model.get_pretrained_representation()
    model.train(max_epochs=1, plan_kwargs={"lr": 1e-9}, **QUIET)
    np.testing.assert_allclose(model.get_pretrained_representation(), before, atol=1e-4)


def test_same_seed_gives_the_same_weights() -> None:
    weights = []
    for _ in range(2):
        model = make(small_cohorts())
        model.pretrain("vime", max_epochs=2, **QUIET)
        weights.append(model.module.modalities.only.z_encoder.projection.weight.detach().clone())
    assert torch.equal(*weights)


def test_pretrained_model_is_saved_and_loaded(tmp_path: Path) -> None:
    adata = small_cohorts()
    model = make(adata)
    model.pretrain(max_epochs=2, **QUIET)
    model.save(tmp_path / "model")
    loaded = dv.DomainVI.load(tmp_path / "model", adata)
    np.testing.assert_array_equal(
        loaded.get_pretrained_representation(), model.get_pretrained_representation()
    )
    assert loaded.fitted.pretraining == model.fitted.pretraining
    assert len(loaded.history["pretraining_loss"]) == 2
    loaded.train(max_epochs=1, **QUIET)
    model.train(max_epochs=1, **QUIET)
    np.testing.assert_allclose(
        loaded.predict(soft=True), model.predict(soft=True), rtol=1e-4, atol=1e-5
    )


def test_encoder_is_loaded_by_gene_name(tmp_path: Path) -> None:
    adata = small_cohorts()
    model = make(adata, scaling="domain")
    model.pretrain(max_epochs=2, **QUIET)
    model.save(tmp_path / "model")
    other = adata[:, adata.var_names[::-1]].copy()
    start = make(other, scaling="domain", pretrain_from=tmp_path / "model")
    assert start.fitted.pretraining.n_genes_matched == 120
    assert start.fitted.pretraining.source == model.fitted.pretraining
    start.train(max_epochs=1, plan_kwargs={"lr": 1e-9}, **QUIET)
    np.testing.assert_allclose(
        start.get_pretrained_representation(), model.get_pretrained_representation(), atol=1e-3
    )
    start.save(tmp_path / "start")
    (tmp_path / "model" / "model.json").unlink()
    again = dv.DomainVI.load(tmp_path / "start", other)
    np.testing.assert_array_equal(again.predict(), start.predict())


def test_other_genes_and_sizes_are_refused(tmp_path: Path) -> None:
    adata = small_cohorts()
    model = make(adata)
    model.pretrain(max_epochs=1, **QUIET)
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="Give both models the same n_latent"):
        make(adata, n_latent=9, pretrain_from=tmp_path / "model")
    stranger = adata.copy()
    stranger.var_names = [f"ENSG{i}" for i in range(adata.n_vars)]
    with pytest.raises(dv.errors.GeneMatchError, match="0 of the 120"):
        make(stranger, pretrain_from=tmp_path / "model")
    half = adata.copy()
    half.var_names = [n if i < 40 else f"other{i}" for i, n in enumerate(adata.var_names)]
    with pytest.warns(UserWarning, match="shares 40 genes with adata, of its 120 and of 120"):
        make(half, pretrain_from=tmp_path / "model")
    with pytest.raises(dv.errors.ModelFileError):
        make(adata, pretrain_from=tmp_path / "nothing")


def test_more_rows_join_the_pretraining_and_nothing_else() -> None:
    adata, more = small_cohorts(), small_cohorts(seed=8, n_obs=100)
    more = more[:, more.var_names[::-1]].copy()
    more.obs["domain"] = more.obs["domain"].cat.rename_categories({"domain_0": "elsewhere"})
    alone, joined = make(adata), make(adata)
    alone.pretrain(max_epochs=2, **QUIET)
    joined.pretrain(max_epochs=2, adata=more, **QUIET)
    weights = [m.module.modalities.only.z_encoder.projection.weight for m in (alone, joined)]
    assert not torch.equal(*weights)
    assert joined.get_pretrained_representation().shape == (240, 8)
    for name in ("loc", "scale"):
        statistics = [getattr(m.module.modalities.only.standardiser, name) for m in (alone, joined)]
        assert torch.equal(*statistics)


def test_rows_that_lack_genes_do_not_lend_their_zeros() -> None:
    adata, more = small_cohorts(), small_cohorts(seed=8)[:, :100].copy()
    model = make(adata)
    model.pretrain(max_epochs=1, adata=more, **QUIET)
    with pytest.raises(InputError, match="lacks 20 of 120 genes"):
        make(adata).pretrain(adata=more, plan_kwargs={"within_domain": False}, **QUIET)


def test_loss_that_is_not_finite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(small_cohorts())
    monkeypatch.setattr(
        "domainvi.pretraining._objectives.info_nce", lambda a, b, t: (a * torch.nan).sum()
    )
    with pytest.raises(TrainingError, match="became nan in epoch 1.*smaller learning rate"):
        model.pretrain("scarf", max_epochs=1, **QUIET)


def test_trained_model_is_not_pretrained(model: DomainVI) -> None:
    with pytest.raises(InputError, match="Call pretrain before train"):
        model.pretrain(max_epochs=1, **QUIET)
    with pytest.raises(InputError, match="not pretrained"):
        model.get_pretrained_representation()


def test_paper_preset_runs() -> None:
    model = make(small_cohorts(values="log"))
    model.pretrain("scarf", preset="paper", max_epochs=1, **QUIET)
    assert model.fitted.pretraining.settings.marginal == "uniform"
    assert model.fitted.pretraining.settings.max_epochs == 1
