"""Training through the public model: history, determinism, adversary apart, awkward data."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import domainvi as dv
from domainvi.errors import TrainingError
from domainvi.linear import source_domains
from domainvi.model._training import default_epochs

TERMS = ("elbo", "reconstruction_loss", "kl_local", "classification_loss", "teaching_loss")


def weights(model, *, with_adversary=True):
    state = model.module.state_dict()
    return {k: v.clone() for k, v in state.items() if with_adversary or "alignment" not in k}


def differing(a, b):
    assert a.keys() == b.keys()
    return [k for k in a if not torch.equal(a[k], b[k])]


@pytest.fixture(scope="module")
def reference(cohorts, train):
    return train(cohorts(), adversary="none")


@pytest.fixture(scope="module")
def conditional(cohorts, train):
    return train(cohorts(), epochs=3)


@pytest.mark.parametrize("stage", ["train", "validation"])
def test_every_term_is_in_the_history(conditional, stage):
    for name in (*TERMS, "adversary_loss", "domain_accuracy"):
        values = conditional.history[f"{name}_{stage}"]
        assert len(values) == 3
        assert np.isfinite(values.to_numpy(dtype=float)).all()
    assert {"train_loss", "validation_loss", "accuracy_validation"} <= set(conditional.history)


def test_the_weight_in_the_history_rises(conditional):
    values = conditional.history["adversary_weight"].to_numpy(dtype=float).ravel()
    assert (np.diff(values) > 0).all()
    assert values[0] > 0
    assert (conditional.history["domain_accuracy_chance"] == 0.5).to_numpy().all()


def test_the_losses_fall(conditional):
    for name in ("train_loss", "elbo_train", "validation_loss"):
        values = conditional.history[name].to_numpy(dtype=float).ravel()
        assert values[-1] < values[0]


def test_without_an_adversary_there_is_no_domain_accuracy(reference):
    assert not [k for k in reference.history if "domain_accuracy" in k or "adversary_loss" in k]


def test_there_is_one_optimiser(cohorts):
    seen = []

    class Spy(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            seen.append(trainer.optimizers)

    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, adversary="wasserstein")
    model.train(max_epochs=1, train_size=1.0, enable_progress_bar=False, callbacks=[Spy()])
    assert len(seen[0]) == 1


def test_the_same_seed_gives_the_same_weights(reference, cohorts, train):
    again = train(cohorts(), adversary="none")
    assert not differing(weights(reference), weights(again))
    np.testing.assert_array_equal(
        reference.get_latent_representation(), again.get_latent_representation()
    )


def test_another_seed_gives_others(reference, cohorts, train):
    other = train(cohorts(), adversary="none", seed=1)
    assert "modalities.stack.0.z_encoder.mean.weight" in differing(
        weights(reference), weights(other)
    )
    assert not np.array_equal(reference.validation_indices, other.validation_indices)


@pytest.mark.parametrize("adversary", ["conditional", "marginal", "wasserstein"])
def test_an_adversary_of_weight_zero_is_none_to_the_bit(reference, cohorts, train, adversary):
    model = train(cohorts(), adversary=adversary, plan_kwargs={"adversary_weight": 0.0})
    assert not differing(
        weights(model, with_adversary=False), weights(reference, with_adversary=False)
    )


def test_an_adversary_with_weight_changes_the_encoder(reference, conditional, cohorts, train):
    model = train(cohorts())
    changed = differing(
        weights(model, with_adversary=False), weights(reference, with_adversary=False)
    )
    assert "modalities.stack.0.z_encoder.mean.weight" in changed


def right(model):
    """Share of unlabelled rows that get their true class."""
    obs = model.adata.obs
    hidden = (obs["label"] == "Unknown").to_numpy()
    return np.mean(model.predict()[hidden] == obs["label_true"].astype(str).to_numpy()[hidden])


@pytest.mark.parametrize("adversary", ["conditional", "marginal", "wasserstein"])
@pytest.mark.parametrize("values", ["counts", "log"])
def test_every_adversary_trains(cohorts, train, adversary, values):
    model = train(cohorts(values=values), adversary=adversary)
    for name in ("train_loss", "validation_loss", "adversary_loss_train", "domain_accuracy_train"):
        assert np.isfinite(model.history[name].to_numpy(dtype=float)).all()
    assert right(model) > 0.9


@pytest.mark.parametrize("adversary", ["conditional", "marginal", "wasserstein"])
def test_every_adversary_trains_in_mixed_precision(cohorts, adversary):
    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, adversary=adversary)
    model.train(max_epochs=2, accelerator="cpu", precision="bf16-mixed", enable_progress_bar=False)
    for name in ("adversary_loss_train", "domain_probe_train"):
        assert np.isfinite(model.history[name].to_numpy(dtype=float)).all()


@pytest.mark.parametrize("scaling", ["mix", "domain", "global"])
def test_every_scaling_trains(cohorts, train, scaling):
    model = train(cohorts(), scaling=scaling, epochs=20)
    assert np.isfinite(model.get_latent_representation()).all()
    assert right(model) > 0.9


def test_the_sources_are_those_with_labels(conditional, cohorts, train):
    assert conditional.module.alignment.is_source.tolist() == [True, False]
    unknown = train(cohorts(unknown_class_in_target=True), scaling="domain", epochs=1)
    assert unknown.module.alignment.is_source.tolist() == [True, False]
    label = np.array([0, -1, -1, 0, 1, -1])
    assert source_domains(np.array([0, 0, 0, 1, 1, 1]), label, 2).tolist() == [False, True]


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_rows_and_genes_without_counts(cohorts, train, likelihood):
    adata = cohorts()
    adata.X[:3] = 0
    adata.X[:, 5] = 0
    model = train(adata, likelihood=likelihood)
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


def test_constant_genes(cohorts, train):
    adata = cohorts(values="log")
    adata.X[:, 3] = 2.0
    adata.X[:, 4] = 0.0
    adata.X[(adata.obs["domain"] == "domain_1").to_numpy(), 5] = 1.0
    model = train(adata)
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()
    assert np.isfinite(model.get_latent_representation()).all()
    assert right(model) > 0.9


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_tiny_domain(cohorts, train, n_rows):
    adata = cohorts()
    adata.obs["domain"] = np.r_[["tiny"] * n_rows, adata.obs["domain"].astype(str)[n_rows:]]
    model = train(adata)
    in_tiny = np.flatnonzero((adata.obs["domain"] == "tiny").to_numpy())
    assert not set(in_tiny) & set(model.validation_indices)
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


@pytest.mark.parametrize("shown", [1, 2, 6])
def test_some_labels_in_the_target(cohorts, train, shown):
    adata = cohorts()
    label, truth = (adata.obs[k].astype(str).to_numpy() for k in ("label", "label_true"))
    in_target = (adata.obs["domain"] == "domain_1").to_numpy()
    for c in np.unique(truth):
        label[np.flatnonzero(in_target & (truth == c))[:shown]] = c
    adata.obs["label"] = label
    model = train(adata)
    assert (model.predict()[in_target] == truth[in_target]).mean() > 0.9


def test_no_row_held_out(cohorts, train):
    model = train(cohorts(), train_size=1.0)
    assert len(model.validation_indices) == 0
    assert not [k for k in model.history if "validation" in k]


def test_several_domain_columns_and_covariates(cohorts, train):
    adata = cohorts()
    rng = np.random.default_rng(0)
    adata.obs["plate"] = rng.choice(["p", "q", "r"], adata.n_obs)
    adata.obs["sex"] = rng.choice(["f", "m"], adata.n_obs)
    adata.obs["age"] = rng.normal(size=adata.n_obs)
    model = train(
        adata,
        batch_key=["domain", "plate"],
        categorical_covariate_keys=["sex"],
        continuous_covariate_keys=["age"],
    )
    assert model.module.n_domains == [2, 3]
    assert len(model.module.alignment.heads) == 2
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()


def test_a_class_of_one_plate_is_not_aligned_across_plates(cohorts, train):
    adata = cohorts(n_obs=240, labelled_domains=2)
    truth = adata.obs["label_true"].astype(str).to_numpy()
    plate = np.where(np.arange(240) % 2, "p", "q")
    adata.obs["plate"] = np.where(truth == "class_0", "p", plate)
    model = train(adata, batch_key=["domain", "plate"], epochs=1)
    expected = [[True] * 4, [False, True, True, True]]
    assert model.module.alignment.support_1.tolist() == expected


def test_a_size_factor_centres_the_input_too(cohorts, train):
    adata = cohorts()
    adata.obs["depth"] = 3.0 * adata.X.sum(axis=1)
    model = train(adata, size_factor_key="depth", scaling="domain", train_size=1.0, epochs=1)
    depth = torch.tensor(adata.obs["depth"].to_numpy()[:, None], dtype=torch.float32)
    domain = torch.from_numpy(adata.obs["domain"].cat.codes.to_numpy().astype(np.int64))
    x = torch.from_numpy(np.asarray(adata.X))
    u, _ = model.module.log_values(x, depth)
    s = model.module.modalities.only.standardiser(u, domain)
    for d in (0, 1):
        torch.testing.assert_close(s[domain == d].mean(dim=0), torch.zeros(60), atol=2e-2, rtol=0)


def test_a_fault_is_reported_and_not_trained_on(cohorts):
    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4)
    with torch.no_grad():
        model.module.modalities.only.z_encoder.mean.bias.fill_(torch.nan)
    with pytest.raises(TrainingError, match="NaN or infinite in step 1, rows"):
        model.train(max_epochs=1, enable_progress_bar=False)
    assert not model.is_trained_


def test_few_labels_among_many_rows_all_teach(cohorts):
    adata = cohorts(n_obs=14_000, n_genes=20, n_markers=5)
    domain, truth = (adata.obs[k].astype(str).to_numpy() for k in ("domain", "label_true"))
    label = np.full(adata.n_obs, "Unknown", dtype=object)
    for c in np.unique(truth):
        label[np.flatnonzero((domain == "domain_0") & (truth == c))[:2]] = c
    adata.obs["label"] = label
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8)
    model.train(max_epochs=1, batch_size=4096, enable_progress_bar=False)
    assert (model.predict() == truth).mean() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_planted_classes_are_found_by_default(seed):
    adata = dv.data.synthetic_cohorts(n_obs=400, domain_effect=3.0, seed=seed)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata)
    model.train(enable_progress_bar=False)
    in_target = (adata.obs["domain"] == "domain_1").to_numpy()
    hit = model.predict() == adata.obs["label_true"].astype(str).to_numpy()
    assert hit[in_target].mean() >= 0.95


@pytest.mark.parametrize(
    ("n_rows", "epochs"), [(40, 20), (15_000, 20), (30_000, 10), (100_000, 3), (1_000_000, 2)]
)
def test_epochs_fall_with_rows(n_rows, epochs):
    assert default_epochs(n_rows) == epochs


def test_alignment_has_set_in_before_a_long_training_stops_early(cohorts):
    adata = cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    model = dv.DomainVI(adata, n_latent=4, n_hidden=8, n_components=8)
    impatient = {"early_stopping_patience": 1, "early_stopping_min_delta": 1e3}
    model.train(max_epochs=60, batch_size=32, enable_progress_bar=False, **impatient)
    weight = model.history["adversary_weight"].to_numpy(dtype=float).ravel()
    # The weight has risen after 20 epochs; the second loss from then on ends the training.
    assert len(weight) == default_epochs(len(adata)) + 2
    assert weight[3] == 0
    assert weight[19] == pytest.approx(weight[21], rel=1e-3)
    assert weight[21] > 1
