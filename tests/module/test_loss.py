"""The loss of the module, term by term."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from domainvi.data import TEACHER_KEY
from domainvi.nn import classification_loss, teaching_loss

WEIGHTS = ("reconstruction_weight", "adversary_weight", "teaching_weight")
OFF = dict.fromkeys(WEIGHTS, 0.0)


def test_the_elbo_by_hand(build, batch):
    module, tensors = build(), batch()
    inference, generative, output = module(tensors, loss_kwargs={**OFF, "reconstruction_weight": 3})
    qz, z = inference["qz"], inference["z"]
    px = generative["px"]
    reconstruction = 0.5 * ((tensors["X"] - px.loc) / px.scale).square() + torch.log(px.scale)
    reconstruction = (reconstruction + 0.5 * math.log(2 * math.pi)).sum(dim=1)
    variance = qz.scale.square()
    kl = 0.5 * (variance + qz.loc.square() - 1 - variance.log()).sum(dim=1)
    torch.testing.assert_close(output.reconstruction_loss["reconstruction_loss"], reconstruction)
    torch.testing.assert_close(output.kl_local["kl_local"], kl)
    classification = classification_loss(
        module.classifier(z), module.labels(tensors), module.label_smoothing
    )
    expected = classification + 3 * (reconstruction + kl).mean() / 12
    torch.testing.assert_close(output.loss, expected)


def test_the_kl_weight_scales_the_kl_alone(build, batch):
    module, tensors = build().eval(), batch()
    inference = module.inference(**module._get_inference_input(tensors))
    generative = module.generative(**module._get_generative_input(tensors, inference))
    losses = [module.loss(tensors, inference, generative, kl_weight=w).loss for w in (0.0, 1.0)]
    kl = kl_divergence(inference["qz"], Normal(0, 1)).sum(dim=1).mean()
    torch.testing.assert_close(losses[1] - losses[0], 10 * kl / 12)


def test_the_teaching_weight_scales_its_term(build, batch):
    module, tensors = build(), batch()
    tensors[TEACHER_KEY] = torch.softmax(torch.randn(6, 3), dim=1)
    inference = module.inference(**module._get_inference_input(tensors))
    generative = module.generative(**module._get_generative_input(tensors, inference))

    def loss(**weights):
        return module.loss(tensors, inference, generative, **{**OFF, **weights}).loss

    logits = module.classifier(inference["z"])
    unknown = torch.tensor([False, False, True, True, False, True])
    log_p = functional.log_softmax(logits[unknown], dim=1)
    teaching = -(tensors[TEACHER_KEY][unknown] * log_p).sum() / 3
    torch.testing.assert_close(loss(teaching_weight=0.5) - loss(), 0.5 * teaching)


def test_classification_by_hand(build, batch):
    module, tensors = build(label_smoothing=0.1), batch()
    inference, _, output = module(tensors, loss_kwargs=OFF)
    log_p = functional.log_softmax(module.classifier(inference["z"]), dim=1)
    rows, labels = torch.tensor([0, 1, 4]), torch.tensor([0, 1, 2])
    smooth = 0.9 * log_p[rows, labels] + 0.1 * log_p[rows].mean(dim=1)
    torch.testing.assert_close(output.extra_metrics["classification_loss"], -smooth.mean().detach())


def test_the_unlabelled_code_is_minus_one(build, batch):
    assert build().labels(batch()).tolist() == [0, 1, -1, -1, 2, -1]


@pytest.mark.parametrize("adversary", ["conditional", "marginal", "wasserstein", "none"])
@pytest.mark.parametrize("labels", [(3,) * 6, (0, 1, 2, 0, 1, 2), (0, 0, 0, 3, 3, 3)])
def test_any_share_of_labels_gives_finite_gradients(build, batch, adversary, labels):
    module, tensors = build(adversary=adversary), batch(labels)
    module.alignment.is_source[0] = True
    tensors[TEACHER_KEY] = torch.full((6, 3), 1 / 3)
    _, _, output = module(tensors, loss_kwargs=dict.fromkeys(WEIGHTS, 1.0))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)
    metrics = output.extra_metrics
    assert (metrics["classification_loss"] == 0).item() == (labels == (3,) * 6)
    assert (metrics["teaching_loss"] == 0).item() == (3 not in labels)


@pytest.mark.parametrize("adversary", ["conditional", "marginal", "wasserstein"])
def test_a_batch_of_one_domain_is_fine(build, batch, adversary):
    module = build(adversary=adversary)
    module.alignment.is_source[0] = True
    _, _, output = module(batch(domains=(0,) * 6), loss_kwargs={"adversary_weight": 1.0})
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert ("adversary_loss" in output.extra_metrics) == (adversary != "wasserstein")


def test_the_adversary_is_told_means_classes_and_the_weight(build, batch):
    module, tensors = build(adversary="conditional"), batch()
    tensors[TEACHER_KEY] = functional.one_hot(torch.tensor([2, 2, 0, 1, 2, 2]), 3).float()
    inference, _, output = module(tensors, loss_kwargs={"adversary_weight": 0.3})
    # Known labels are 0, 1 and 2 in the rows 0, 1 and 4; the members guess the rest.
    code, mean = torch.tensor([0, 1, 0, 1, 2, 2]), inference["qz"].loc
    expected, _ = module.alignment(mean, code, module.domains(tensors), 0.3)
    torch.testing.assert_close(output.extra_metrics["adversary_loss"], expected.detach())


def test_without_members_the_network_guesses_classes(build, batch):
    module, tensors = build(adversary="conditional"), batch()
    inference, _, output = module(tensors)
    mean, label = inference["qz"].loc, module.labels(tensors)
    code = torch.where(label >= 0, label, module.classifier(mean).argmax(dim=1))
    expected, _ = module.alignment(mean, code, module.domains(tensors), 0.0)
    torch.testing.assert_close(output.extra_metrics["adversary_loss"], expected.detach())


def test_one_labelled_and_one_unlabelled_row(build, batch):
    module = build(adversary="conditional")
    _, _, output = module(batch((0, 3), (0, 1)), loss_kwargs=dict.fromkeys(WEIGHTS, 1.0))
    output.loss.backward()
    assert torch.isfinite(output.loss)


def test_fields_of_the_output(build, batch):
    module = build(adversary="conditional")
    _, _, output = module(batch(), loss_kwargs={"adversary_weight": 1.0})
    assert output.loss.shape == ()
    assert output.loss.requires_grad
    assert output.n_obs_minibatch == 6
    assert output.reconstruction_loss["reconstruction_loss"].shape == (6,)
    assert output.kl_local["kl_local"].shape == (6,)
    rows = output.reconstruction_loss["reconstruction_loss"]
    torch.testing.assert_close(output.reconstruction_loss_sum, rows.sum())
    assert set(output.extra_metrics) == {
        "classification_loss",
        "teaching_loss",
        "adversary_loss",
        "domain_accuracy",
    }
    assert not any(v.requires_grad for v in output.extra_metrics.values())


def test_a_confident_teacher_teaches_like_labels():
    logits, label = torch.randn(4, 3), torch.tensor([-1, 0, -1, -1])
    teacher = torch.eye(3)[[2, 0, 1, 1]]
    expected = functional.cross_entropy(logits[[0, 2, 3]], torch.tensor([2, 1, 1]))
    torch.testing.assert_close(teaching_loss(logits, label, teacher), expected)
    assert teaching_loss(logits, label, None) == 0


@pytest.mark.parametrize("likelihood", ["normal", "nb", "zinb", "poisson"])
def test_some_genes_estimate_the_reconstruction_of_all(build, batch, likelihood):
    module, tensors = build(likelihood), batch(counts=likelihood != "normal")
    inference = module.inference(**module._get_inference_input(tensors))
    inputs = module._get_generative_input(tensors, inference)

    def reconstruction(genes):
        generative = module.generative(**inputs, genes=genes)
        output = module.loss(tensors, inference, generative, genes=genes)
        return output.reconstruction_loss["reconstruction_loss"].detach()

    whole = reconstruction(None)
    # Every gene is in four of twelve such triples, so that their mean is exact.
    triples = [torch.tensor([g, (g + 5) % 12, (g + 7) % 12]) for g in range(12)]
    found = torch.stack([reconstruction(t) for t in triples])
    assert found.std(dim=0).min() > 0
    torch.testing.assert_close(found.mean(dim=0), whole, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(reconstruction(torch.randperm(12)), whole, rtol=1e-4, atol=1e-3)
