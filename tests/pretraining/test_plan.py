"""Parts of pretraining: settings, pooled rows, views, the plan, and encoders that move."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import domainvi as dv
from domainvi.data import align_genes
from domainvi.errors import InputError
from domainvi.nn import Classifier, GaussianEncoder
from domainvi.pretraining._encoder import adopt_encoder, fit_classifier, standardise_latents
from domainvi.pretraining._plan import PretrainingPlan
from domainvi.pretraining._pretrain import pooled_loader
from domainvi.pretraining._settings import PretrainingRecord, pretraining_settings

from .conftest import SMALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def setup(adata: AnnData, **kwargs: object) -> dv.DomainVI:
    """Make a model whose scaling is fitted."""
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, scaling="domain", **{**SMALL, **kwargs})
    model._fit_starting_values(model._validate_anndata())
    return model


def plan_of(model: dv.DomainVI, method: str = "scarf", **changes: object) -> PretrainingPlan:
    settings = pretraining_settings(method, **{"batch_size": 32, "width": 8, **changes})
    prepared = [model._validate_anndata()]
    loader, statistics = pooled_loader(model.module, prepared, settings.batch_size, 0)
    plan = PretrainingPlan(model.module, method, settings, statistics, 10)
    plan.monitored = next(iter(loader))
    return plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruption_rate": 1.5}, "corruption_rate=1.5"),
        ({"temperature": 0}, "temperature=0"),
        ({"batch_size": 2}, "batch_size=2"),
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"marginal": "normal"}, "marginal='normal'"),
        ({"speed": 2}, "speed"),
        ({"preset": "fast"}, "preset='fast'"),
        ({"method": "simclr"}, "method='simclr'"),
    ],
)
def test_settings_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pretraining_settings(**{"method": "scarf", **changes})


def test_paper_settings_are_those_of_the_published_code() -> None:
    scarf, vime, byol = (pretraining_settings(m, "paper") for m in ("scarf", "vime", "byol"))
    assert (scarf.corruption_rate, scarf.exact, scarf.marginal) == (0.3, True, "uniform")
    assert (scarf.temperature, scarf.lr, scarf.batch_size, scarf.max_epochs) == (1, 1e-4, 256, 1000)
    assert (vime.feature_weight, vime.batch_size, vime.corruption_rate) == (2.0, 16, 0.3)
    assert (byol.ema_decay, byol.batch_size, byol.max_epochs) == (0.9, 32, 200)


def test_record_is_json_and_comes_back() -> None:
    settings = pretraining_settings("scarf", preset="paper")
    source = PretrainingRecord("scarf", settings, {"pretraining_loss": [2.0, 1.0]}, collapsed=True)
    record = PretrainingRecord(source=source, n_genes_matched=7)
    written = json.loads(json.dumps(record.to_dict()))
    assert PretrainingRecord.from_dict(written) == record
    for wrong in ({"unheard": 1}, {"history": {"loss": ["x"]}}, {"settings": {"lr": -1}}):
        with pytest.raises((TypeError, ValueError)):
            PretrainingRecord.from_dict(written | wrong)


def test_pooled_rows_keep_their_values_and_get_domains_of_their_own(
    cohorts: Callable[..., AnnData],
) -> None:
    adata, more = cohorts(), cohorts(n_obs=60, seed=5)
    model = setup(adata)
    prepared = [model._validate_anndata(), model._validate_anndata(more)]
    loader, (centre, _) = pooled_loader(model.module, prepared, 64, 0)
    assert centre.shape == (4, 60)
    rows = loader.dataset
    assert len(rows) == 180
    batch = rows[[0, 119, 120, 179]]
    expected = np.concatenate([adata.X[[0, 119]], more.X[[0, 59]]])
    np.testing.assert_array_equal(batch["X"], expected)
    codes = [a.obs["domain"].cat.codes.to_numpy() for a in (adata, more)]
    own = np.concatenate([codes[0][[0, 119]], codes[1][[0, 59]] + 2])
    np.testing.assert_array_equal(batch["batch"].ravel(), own)
    seen = next(iter(loader))
    assert seen["X"].shape == (64, 60)


def test_views_of_counts_are_rows_that_could_have_been_sequenced(
    cohorts: Callable[..., AnnData],
) -> None:
    plan = plan_of(setup(cohorts()), both_views=False, corruption_rate=0.5)
    views = plan.views(plan.monitored)
    assert views.first is views.clean
    share = views.mask.float().mean()
    assert 0.3 < share < 0.5  # a draw that gives the old count is no corruption
    # Values that were not swapped move with the library size, and only with it.
    moved = (views.second - views.clean)[~views.mask]
    assert moved.abs().max() > 0
    assert moved.abs().mean() < (views.second - views.clean)[views.mask].abs().mean() / 3


def test_both_views_differ_and_each_step_is_another(cohorts: Callable[..., AnnData]) -> None:
    plan = plan_of(setup(cohorts(values="log")))
    views, again = plan.views(plan.monitored), plan.views(plan.monitored)
    assert not torch.equal(views.first, views.second)
    assert not torch.equal(views.second, again.second)
    assert torch.equal(views.second[~views.mask], views.clean[~views.mask])


def test_uniform_corruption_stays_within_the_values_seen(cohorts: Callable[..., AnnData]) -> None:
    plan = plan_of(setup(cohorts(values="log")), marginal="uniform", corruption_rate=1.0)
    views = plan.views(plan.monitored)
    assert (views.second.amax(dim=0) <= views.clean.amax(dim=0)).all()
    assert (views.second.amin(dim=0) >= views.clean.amin(dim=0)).all()
    assert views.mask.all()


@pytest.mark.parametrize("method", ["scarf", "vime", "byol"])
def test_every_part_of_the_encoder_learns(method: str, cohorts: Callable[..., AnnData]) -> None:
    plan = plan_of(setup(cohorts()), method)
    loss = plan.objective(plan.views(plan.monitored))
    loss.backward()
    for name, parameter in plan.module.modalities.only.z_encoder.named_parameters():
        learns = parameter.grad is not None and bool(parameter.grad.any())
        assert learns != name.startswith("log_variance"), name


def test_byol_average_follows_after_a_step(cohorts: Callable[..., AnnData]) -> None:
    plan = plan_of(setup(cohorts()), "byol", ema_decay=0.5)
    online, average = plan.objective.encoder.mean.weight, plan.objective.average[0].mean.weight
    before = average.clone()
    with torch.no_grad():
        online.add_(2.0)
    plan.on_train_batch_end()
    torch.testing.assert_close(average, before + 1.0)
    assert not average.requires_grad


def test_encoder_moves_by_gene_name() -> None:
    old, new = GaussianEncoder(3, 2, 4, n_components=2), GaussianEncoder(4, 2, 4, n_components=2)
    genes = align_genes(["a", "b", "c"], ["c", "x", "a", "b"], min_overlap=0)
    adopt_encoder(new, old.state_dict(), genes)
    rows = torch.randn(5, 3)  # a, b, c
    other = torch.stack([rows[:, 2], torch.full((5,), 7.0), rows[:, 0], rows[:, 1]], dim=1)
    new.eval()
    old.eval()
    torch.testing.assert_close(new(other)[0], old(rows)[0])


def test_encoders_of_other_sizes_are_refused() -> None:
    old, new = GaussianEncoder(3, 2, 4, n_components=2), GaussianEncoder(3, 2, 5, n_components=2)
    genes = align_genes(["a", "b", "c"], ["a", "b", "c"])
    before = {k: v.clone() for k, v in new.state_dict().items()}
    with pytest.raises(InputError, match="2 - 4 - 2 - 2.*2 - 5 - 2 - 2.*n_hidden"):
        adopt_encoder(new, old.state_dict(), genes)
    assert all(torch.equal(v, before[k]) for k, v in new.state_dict().items())


def test_standardised_latents_have_mean_zero_and_unit_variance() -> None:
    encoder = GaussianEncoder(6, 3, 8, n_components=4).eval()
    x = torch.randn(50, 6)
    with torch.no_grad():
        before = encoder(x)[0]
        standardise_latents(encoder, before)
        after, variance = encoder(x)
    torch.testing.assert_close(after.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    assert float(after.square().mean()) == pytest.approx(1.0, abs=1e-5)
    assert float(variance.max()) == pytest.approx(np.exp(-4.0))
    shape = (before - before.mean(dim=0)) / after
    torch.testing.assert_close(shape, shape[0, 0].expand_as(shape), atol=1e-3, rtol=1e-3)


def test_classifier_starts_at_the_labelled_rows() -> None:
    z = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [9.0, 9.0]] * 3, dtype=np.float32)
    label = np.array([0, 1, 2, -1] * 3)
    head = Classifier(2, 3)
    fit_classifier(head, z, label)
    predicted = head(torch.from_numpy(z)).argmax(dim=1).numpy()
    np.testing.assert_array_equal(predicted[label >= 0], label[label >= 0])
    before = head.linear.weight.clone()
    fit_classifier(head, z, np.full(12, -1))
    assert torch.equal(head.linear.weight, before)
