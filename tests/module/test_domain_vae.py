"""Shapes, covariates and the ensemble of the module."""

import math

import pytest
import torch

from domainvi.errors import InputError
from domainvi.module import EXPRESSION, ScalingStatistics

LIKELIHOODS = ("normal", "nb", "zinb", "poisson")


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("n_samples", [1, 3])
def test_shapes(build, batch, likelihood, n_samples):
    module, tensors = build(likelihood), batch(counts=likelihood != "normal")
    inference, generative = module(
        tensors, inference_kwargs={"n_samples": n_samples}, compute_loss=False
    )
    leading = (n_samples,) if n_samples > 1 else ()
    assert inference["z"].shape == (*leading, 6, 4)
    assert inference["qz"].loc.shape == (6, 4)
    log_prob = generative["px"].log_prob(tensors["X"])
    assert log_prob.shape == (*leading, 6, 12)
    assert torch.isfinite(log_prob).all()
    assert module.sample(tensors, n_samples=n_samples).shape == (*leading, 6, 12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_samples_are_decoded_row_by_row(build, batch, likelihood):
    module, tensors = build(likelihood).eval(), batch(counts=likelihood != "normal")
    inputs = module._get_generative_input(tensors, {"z": None, "library": torch.full((6, 1), 9.0)})
    z = torch.randn(3, 6, 4)
    together = module.generative(**{**inputs, "z": z})["px"].log_prob(tensors["X"])
    for sample, single in zip(z, together, strict=True):
        alone = module.generative(**{**inputs, "z": sample})["px"].log_prob(tensors["X"])
        torch.testing.assert_close(single, alone)


def test_samples_come_from_the_posterior(build, batch):
    module, tensors = build(), batch()
    out = module.inference(**module._get_inference_input(tensors), n_samples=4000)
    torch.testing.assert_close(out["z"].mean(dim=0), out["qz"].loc, atol=0.15, rtol=0)
    torch.testing.assert_close(out["z"].std(dim=0), out["qz"].scale, atol=0.15, rtol=0)


def test_the_encoder_does_not_see_the_domain(build, batch):
    module = build().eval()
    a = module.inference(**module._get_inference_input(batch()))
    b = module.inference(**module._get_inference_input(batch(domains=(1, 1, 1, 0, 0, 0))))
    assert torch.equal(a["qz"].loc, b["qz"].loc)


def test_the_input_is_standardised_by_domain(build, batch):
    module, tensors = build().eval(), batch()
    loc, scale = torch.randn(2, 12), torch.rand(2, 12) + 0.5
    before = module.inference(**module._get_inference_input(tensors))["qz"].loc
    module.modalities.only.standardiser.set_statistics(loc, scale)
    domain = tensors["batch"].squeeze(1)
    moved = {**tensors, "X": tensors["X"] * scale[domain] + loc[domain]}
    after = module.inference(**module._get_inference_input(moved))["qz"].loc
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


def test_counts_are_seen_relative_to_the_library(build, batch):
    module, tensors = build("nb").eval(), batch(counts=True)
    deep = {**tensors, "X": 3 * tensors["X"]}
    a, b = (module.embed(**module._get_inference_input(t))[0] for t in (tensors, deep))
    torch.testing.assert_close(a, b)
    sized = {**deep, "size_factor": deep["X"].sum(dim=1, keepdim=True)}
    torch.testing.assert_close(module.embed(**module._get_inference_input(sized))[0], b)
    other = {**deep, "size_factor": torch.full((6, 1), 7.0)}
    assert not torch.allclose(module.embed(**module._get_inference_input(other))[0], b)


def test_rows_without_counts_are_encoded(build, batch):
    module, tensors = build("nb"), batch(counts=True)
    tensors["X"][0] = 0
    _, _, output = module(tensors)
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_extra_domains_and_covariates_reach_the_decoder(build, batch):
    module = build(n_domains=[2, 3], n_cats_per_cov=[2, 4], n_continuous_cov=1).eval()
    covariates = {
        "extra": [[0], [1], [2], [0], [1], [2]],
        "categories": [[0, 3], [1, 2], [0, 1], [1, 0], [0, 3], [1, 2]],
        "continuous": [[0.1], [0.2], [0.3], [-1.0], [5.0], [0.0]],
    }
    tensors = batch(**covariates)
    joined = module.covariates(
        *(tensors[k] for k in ("batch", "extra_domains", "extra_categorical_covs")),
        tensors["extra_continuous_covs"],
    )
    assert joined[1].tolist() == pytest.approx([1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0.2])
    assert joined.shape == (6, 2 + 3 + 2 + 4 + 1)
    assert [d.tolist() for d in module.domains(tensors)] == [[0, 0, 0, 1, 1, 1], [0, 1, 2] * 2]
    z = torch.zeros(6, 4)
    inputs = module._get_generative_input(tensors, {"z": z, "library": torch.ones(6, 1)})
    before = module.generative(**inputs)["px"].mean
    for key in ("extra_domains", "cat_covs", "cont_covs"):
        changed = {**inputs, key: inputs[key].flip(0)}
        assert not torch.allclose(module.generative(**changed)["px"].mean, before)


def test_every_domain_column_has_an_adversary(build, batch):
    module = build(adversary="marginal", n_domains=[2, 3])
    _, _, output = module(batch(extra=[[0], [1], [2], [0], [1], [2]]))
    output.loss.backward()
    assert len(module.alignment.heads) == 2
    assert all(p.grad.any() for p in module.alignment.heads[1].parameters())


def test_new_domains_decode_without_any_domain(build, batch):
    tensors = batch(domains=(0, 1, 5, 0, 1, 0))
    joined = build().covariates(tensors["batch"])
    assert joined[2].tolist() == [0.0, 0.0]


def test_the_ensemble_averages_probabilities(build):
    module, domain = build(), torch.tensor([0, 1, 0, 1, 1])
    network, linear = torch.randn(5, 3).log_softmax(1), torch.randn(5, 3).log_softmax(1)
    module.network_share.fill_(0.25)
    expected = 0.25 * network.exp() + 0.75 * linear.exp()
    torch.testing.assert_close(module.ensemble(network, linear, domain).exp(), expected)
    module.network_share.fill_(1.0)
    torch.testing.assert_close(module.ensemble(network, linear, domain), network)


def test_the_class_prior_of_a_domain_is_bayes_rule(build):
    module = build()
    module.log_prior[1] = torch.tensor([2.0, 0.5, 0.25]).log()
    p = torch.tensor([[0.2, 0.4, 0.4]]).repeat(3, 1)
    found = module.ensemble(p.log(), p.log(), torch.tensor([0, 1, 2])).exp()
    corrected = torch.tensor([0.4, 0.2, 0.1]) / 0.7
    # Domain 0 has no correction, and domain 2 is not known.
    torch.testing.assert_close(found, torch.stack([p[0], corrected, p[0]]))


def test_without_members_the_network_speaks_alone(build, batch):
    module, tensors = build().eval(), batch()
    mean, variance, network, linear, _ = module.embed(**module._get_inference_input(tensors))
    assert mean.shape == variance.shape == (6, 4)
    assert torch.equal(network, linear)
    torch.testing.assert_close(network.exp().sum(dim=1), torch.ones(6))
    module.modalities.only.set_linear_members(2)
    module.share_vote()
    assert 0 < module.network_share < 1
    linear = module.embed(**module._get_inference_input(tensors))[3]
    torch.testing.assert_close(linear, torch.full((6, 3), -math.log(3)))


def test_other_statistics_serve_domains_that_are_new(build, batch):
    module, tensors = build().eval(), batch()
    modality = module.modalities.only
    modality.set_linear_members(2)
    modality.linear.coef.normal_()
    module.share_vote()
    grown = torch.zeros(3, 12), torch.ones(3, 12)
    own = ScalingStatistics(grown, (torch.zeros(2, 3, 12), torch.ones(2, 3, 12)))
    new = {**tensors, "batch": torch.full((6, 1), 2)}
    known = module.embed(**module._get_inference_input(tensors))
    unseen = module.embed(**module._get_inference_input(new), statistics={EXPRESSION: own})
    for a, b in zip(known, unseen, strict=True):
        torch.testing.assert_close(a, b)


def test_the_state_can_be_loaded(build, batch):
    module, other = build(adversary="conditional"), build(adversary="conditional")
    for m in (module, other):
        m.modalities.only.set_linear_members(2)
        m.share_vote()
    module.modalities.only.linear.coef.normal_()
    other.load_state_dict(module.state_dict())
    tensors = batch()
    a, b = (m.eval().embed(**m._get_inference_input(tensors)) for m in (module, other))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("argument", ["likelihood", "adversary"])
def test_unknown_names_are_refused(build, argument):
    with pytest.raises(InputError, match=f"{argument}='x'"):
        build(**{argument: "x"})
