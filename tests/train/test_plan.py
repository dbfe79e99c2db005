"""The training plan step by step, without a trainer."""

import math

import pytest
import torch
from scvi.module.base import LossOutput
from torch import nn

from domainvi.errors import TrainingError
from domainvi.module import DomainVAE
from domainvi.nn import NO_DECAY
from domainvi.train import DomainTrainingPlan, ramp
from domainvi.train._faults import FaultFinder
from domainvi.train._plan import MAX_GRADIENT_NORM, parameter_groups


@pytest.fixture
def module() -> DomainVAE:
    return DomainVAE(8, [2], 3, n_latent=4, n_hidden=8, adversary="conditional")


def total_norm(parameters) -> float:
    return math.sqrt(sum(p.grad.square().sum().item() for p in parameters))


def test_only_matrices_decay(module):
    decaying, others = parameter_groups(module, 0.3)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    assert all(p.dim() > 1 for p in decaying["params"])
    assert all(p.dim() <= 1 for p in others["params"])
    n = len(decaying["params"]) + len(others["params"])
    assert n == len(list(module.parameters()))


def test_frozen_and_marked_parameters_do_not_decay(module):
    modality = module.modalities.only
    modality.decoder.output.weight.requires_grad_(False)
    marked = modality.z_encoder.mean.weight
    setattr(marked, NO_DECAY, True)
    decaying, others = parameter_groups(module, 0.3)
    ids = [{id(p) for p in group["params"]} for group in (decaying, others)]
    assert id(modality.decoder.output.weight) not in ids[0] | ids[1]
    assert id(marked) in ids[1]


def test_one_optimiser_holds_all_but_the_heads(module):
    plan = DomainTrainingPlan(module, n_steps=10, lr=0.02)
    found = plan.configure_optimizers()
    optimizer = found["optimizer"]
    assert isinstance(optimizer, torch.optim.AdamW)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    heads = [id(p) for p in module.alignment.parameters()]
    assert sorted(held + heads) == sorted(id(p) for p in module.parameters())
    assert [id(p) for p in plan.game.optimizer.param_groups[0]["params"]] == heads
    schedule = found["lr_scheduler"]
    assert schedule["interval"] == "step"
    assert optimizer.param_groups[0]["lr"] == 0.02
    for _ in range(10):
        optimizer.step()
        schedule["scheduler"].step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("size", "expected"), [(1e-3, None), (1e4, MAX_GRADIENT_NORM)])
def test_gradients_of_the_heads_are_clipped_apart(module, size, expected):
    plan = DomainTrainingPlan(module, n_steps=10)
    heads = list(module.alignment.parameters())
    ids = {id(p) for p in heads}
    others = [p for p in module.parameters() if id(p) not in ids]
    for p in others:
        p.grad = torch.randn_like(p) * 1e-3
    for p in heads:
        p.grad = torch.randn_like(p) * size
    before, of_heads = [p.grad.clone() for p in others], total_norm(heads)
    plan.on_before_optimizer_step(torch.optim.SGD(others, lr=0.1))
    assert all(torch.equal(p.grad, b) for p, b in zip(others, before, strict=True))
    assert total_norm(heads) == pytest.approx(expected or of_heads, rel=1e-4)


def test_large_gradients_of_the_autoencoder_are_clipped(module):
    plan = DomainTrainingPlan(module, n_steps=10)
    for p in module.parameters():
        p.grad = torch.full_like(p, 100.0)
    plan.on_before_optimizer_step(torch.optim.SGD(module.parameters(), lr=0.1))
    ids = {id(p) for p in module.alignment.parameters()}
    others = [p for p in module.parameters() if id(p) not in ids]
    assert total_norm(others) == pytest.approx(MAX_GRADIENT_NORM, rel=1e-4)


@pytest.mark.parametrize("progress", [0.0, 0.4, 1.0])
def test_the_adversary_is_ramped_up(module, progress):
    class At(DomainTrainingPlan):
        @property
        def warmup_progress(self) -> float:
            return progress

    plan = At(module, n_steps=10, adversary_weight=0.5)
    weights = plan.loss_weights()
    assert weights["adversary_weight"] == 0.5 * ramp(progress)
    assert weights["reconstruction_weight"] == plan.reconstruction_weight
    assert weights["teaching_weight"] == plan.teaching_weight


def test_genes_are_drawn_anew_without_repeats(module):
    plan = DomainTrainingPlan(module, n_steps=10, genes_per_step=5)
    draws = [plan._some_genes().tolist() for _ in range(20)]
    assert all(len(set(d)) == 5 for d in draws)
    assert len({tuple(d) for d in draws}) > 1
    assert set().union(*draws) == set(range(8))


@pytest.mark.parametrize("genes_per_step", [None, 8, 500])
def test_all_genes_where_there_are_no_more(module, genes_per_step):
    assert (
        DomainTrainingPlan(module, n_steps=1, genes_per_step=genes_per_step)._some_genes() is None
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_an_error(module, value):
    plan = DomainTrainingPlan(module, n_steps=10, lr=0.5)
    bad, good = torch.tensor(value), torch.tensor(1.0)
    terms = {"train_loss": bad, "kl_local": bad, "elbo": good}
    by_row = {"kl_local": torch.stack([good, bad])}
    with pytest.raises(TrainingError, match=r"^kl_local became .*step 3, rows 7 of .*lr=0\.5"):
        plan.faults.add(3, terms, by_row, torch.tensor([4, 7]))


def test_steps_are_checked_together_where_waiting_is_dear():
    finder = FaultFinder("Look.", every=3)
    finder.add(1, {"loss": torch.tensor(1.0)}, {}, None)
    finder.add(2, {"loss": torch.tensor(math.nan)}, {}, None)
    with pytest.raises(TrainingError, match="loss became NaN or infinite in step 2"):
        finder.add(3, {"loss": torch.tensor(math.inf)}, {}, None)
    finder.check()


def test_terms_are_averaged_over_batches(module):
    plan = DomainTrainingPlan(module, n_steps=10)
    logged = {}
    plan.log = lambda name, value, **_: logged.update({name: float(value)})
    for value in (1.0, 2.0, 6.0):
        plan._add("elbo_train", torch.tensor(value))
    plan._add("elbo_validation", torch.tensor(9.0))
    plan._log_epoch(["elbo_train"])
    assert logged == {"elbo_train": 3.0}
    assert set(plan.sums) == set(plan.counts) == {"elbo_validation"}


@pytest.mark.parametrize(("stage", "expected"), [("train", 10.0), ("validation", 7.0)])
def test_held_out_rows_are_evaluated_without_the_adversary(module, stage, expected):
    plan = DomainTrainingPlan(module, n_steps=10)
    rows = torch.tensor([1.0, 3.0])
    output = LossOutput(
        loss=torch.tensor(10.0),
        reconstruction_loss=rows,
        kl_local=2 * rows,
        extra_metrics={"adversary_loss": torch.tensor(3.0)},
    )
    plan._gather(output, stage)
    found = {k: v.item() for k, v in plan.sums.items()}
    assert found == {
        f"reconstruction_loss_{stage}": 2.0,
        f"kl_local_{stage}": 4.0,
        f"elbo_{stage}": 6.0,
        f"adversary_loss_{stage}": 3.0,
        f"{stage}_loss": expected,
    }


def test_sums_hold_no_graph(module):
    plan = DomainTrainingPlan(module, n_steps=10)
    plan._add("a", nn.Parameter(torch.ones(())) * 2)
    assert not plan.sums["a"].requires_grad
