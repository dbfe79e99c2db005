"""DisentangledVI: what a user calls, on planted factors."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import InputError, ModelFileError, NotTrainedError

QUIET = {"enable_progress_bar": False}
GROUPS = {"biological": ["tissue", "state", "age"], "technical": ["platform", "study"]}


def planted(n_obs=500, **kwargs):
    adata = dv.data.synthetic_factors(n_obs, 60, missing=0.1, seed=4, **kwargs)
    age = adata.obs["state"].cat.codes.replace(-1, np.nan) * 20 + 40.0
    adata.obs["age"] = age + np.random.default_rng(0).normal(size=n_obs)
    return adata


@pytest.fixture(scope="module")
def adata():
    return planted()


@pytest.fixture(scope="module")
def model(adata):
    dv.DisentangledVI.setup_anndata(adata, factor_groups=GROUPS, labels_key="state")
    model = dv.DisentangledVI(adata, independence="covariance")
    model.train(max_epochs=20, **QUIET)
    return model


def test_setup_leaves_the_object_as_it_was(adata, model):
    assert set(adata.uns) == {"factor_groups"}
    assert not list(adata.obsm)
    assert "covariance" in model._model_summary_string


def test_latents_of_subspaces_lie_side_by_side(model):
    whole = model.get_latent_representation()
    parts = [model.get_latent_representation(group=g) for g in model.subspaces]
    assert model.subspaces == ["biological", "technical", "residual"]
    assert np.array_equal(whole, np.hstack(parts))
    assert model.get_latent_representation(indices=[3, 1]).shape == (2, 48)
    np.testing.assert_allclose(model.get_latent_representation(indices=[3]), whole[[3]], atol=1e-5)
    mean, variance = model.get_latent_representation(group="technical", return_dist=True)
    assert np.array_equal(mean, parts[1])
    assert (variance > 0).all()
    with pytest.raises(InputError, match="group='biology' is not known"):
        model.get_latent_representation(group="biology")


def test_every_factor_is_predicted_without_metadata(adata, model):
    fresh = planted(900)[500:].copy()
    bare = ad.AnnData(fresh.X, obs=pd.DataFrame(index=fresh.obs_names), var=fresh.var)
    for factor in ("tissue", "state", "platform", "study"):
        found = model.predict(bare, factor=factor)
        known = fresh.obs[factor].notna()
        assert (found == fresh.obs[factor].astype(str))[known].mean() >= 0.95
        assert np.array_equal(found, model.predict(fresh, factor=factor))
    age = model.predict(bare, factor="age", soft=True)
    known = fresh.obs["age"].notna()
    assert np.corrcoef(age["value"][known], fresh.obs["age"][known])[0, 1] > 0.9
    assert 0.5 < age["standard_error"].iloc[0] < 8
    soft = model.predict(bare, soft=True)
    assert list(soft.columns) == ["state_0", "state_1"]
    np.testing.assert_allclose(soft.sum(axis=1), 1)


def test_genes_go_by_name_and_missing_ones_are_masked(adata, model):
    shuffled = adata[:, ::-1].copy()
    np.testing.assert_allclose(
        model.get_latent_representation(shuffled), model.get_latent_representation(), atol=1e-5
    )
    some = adata[:, :40].copy()
    agree = model.predict(some, factor="tissue") == model.predict(factor="tissue")
    assert agree.mean() > 0.8
    with pytest.raises(InputError, match="lack 20 of 60 genes"):
        model.get_variance_shares(some)


def test_expression_with_the_technical_part_at_a_level(adata, model):
    plain = model.get_normalized_expression()
    same = model.get_normalized_expression(technical="reference")
    one = model.get_normalized_expression(technical="platform_1")
    known = adata.obs["platform"].notna().to_numpy()
    first = (adata.obs["platform"] == "platform_0").to_numpy()

    def gap(frame):
        x = frame.to_numpy()
        return np.abs(x[first & known].mean(axis=0) - x[~first & known].mean(axis=0)).mean()

    assert gap(plain) > 0.2
    assert gap(same) < 0.4 * gap(plain)
    assert gap(one) < 0.4 * gap(plain)
    # All that the two differ by is the same for every row.
    assert (one - same).std().max() < 1e-4
    assert np.corrcoef(plain.to_numpy().ravel(), adata.X.ravel())[0, 1] > 0.9
    with pytest.raises(InputError, match="names 0 levels.*platform_0"):
        model.get_normalized_expression(technical="platform_7")
    with pytest.raises(InputError, match="There is no group 'techical'"):
        model.get_normalized_expression(techical="reference")


def test_a_part_that_is_exchanged_comes_from_the_partner(model):
    rows = np.arange(500)
    plain = model.get_swapped_expression(rows, "technical")
    np.testing.assert_allclose(plain, model.get_normalized_expression(), atol=1e-4)
    turned = model.get_swapped_expression(rows[::-1], "technical")
    # Log values are sums of parts: what a row gains, the one that lends to it loses.
    gain = (turned - plain).to_numpy()
    np.testing.assert_allclose(gain, -gain[::-1], atol=1e-4)
    assert (turned - plain).abs().to_numpy().mean() > 0.1
    with pytest.raises(InputError, match="3 entries"):
        model.get_swapped_expression([0, 1, 2], "technical")


def test_swap_test(model):
    found = model.swap_test("tissue", "platform")
    assert found["keep_before"] > 0.95
    assert abs(found["keep_change"]) < 0.02
    assert found["flipped"] > 0.8
    with pytest.raises(InputError, match="of two groups"):
        model.swap_test("tissue", "state")


def test_leakage_table(model):
    table = model.get_leakage(n_permutations=1)
    assert len(table) == 3 * 5 + 1
    own = table[table["own"] & (table["metric"] == "balanced accuracy")]
    assert (own["score"] > 0.95).all()
    assert (table["low"] <= table["high"]).all()
    assert table["subspace"].iloc[-1] == "joint"
    axes = dv.pl.leakage(table)
    assert len(axes.get_yticks()) == len(table)


def test_leakage_of_a_single_platform_is_empty(adata, model):
    one = adata[(adata.obs["platform"] == adata.obs["platform"].iloc[0]).to_numpy()].copy()
    table = model.get_leakage(one, n_permutations=0).set_index("factor")
    found = ["score", "chance", "p_value", "low", "high"]
    assert table.loc["platform", found].isna().all(axis=None)
    assert (table.loc["platform", "n_rows"] == 0).all()
    assert table.loc["tissue", ["score", "low", "high"]].notna().all(axis=None)
    assert table[["chance", "p_value"]].isna().all(axis=None)
    dv.pl.leakage(table.reset_index())


def test_annotation_survives_h5ad(adata, model, tmp_path):
    target = adata.copy()
    model.annotate(target)
    new = set(target.obs) - set(adata.obs)
    assert new == {f"{f}_{x}" for f in sum(GROUPS.values(), []) for x in ("pred", "conf")}
    assert set(target.obsm) == {
        "X_domainvi",
        *(f"X_domainvi_{s}" for s in ("biological", "technical", "residual")),
    }
    assert target.uns["domainvi"]["confounded"].tolist() == []
    target.write_h5ad(tmp_path / "out.h5ad")
    back = ad.read_h5ad(tmp_path / "out.h5ad")
    assert back.uns["domainvi"]["units"] == {"biological": 16, "technical": 16, "residual": 16}
    np.testing.assert_array_equal(back.obs["state_pred"], model.predict())


def test_explanations_are_of_the_head_that_is_asked_for(adata, model):
    genes = model.explain(target="tissue", baseline="global")
    assert list(genes.columns) == [f"tissue_{i}" for i in range(4)]
    assert genes.attrs["incompleteness"] < 1e-2
    platform = model.explain(target="platform", baseline="global")
    found = {"tissue": genes, "platform": platform}
    means = {f: adata.to_df().groupby(adata.obs[f], observed=True).mean().std() for f in found}
    for factor, other in (("tissue", "platform"), ("platform", "tissue")):
        weight = found[factor].abs().max(axis=1)
        # More weight on genes that the factor moves than on those that the other one moves.
        right, wrong = (weight.corr(means[f], method="spearman") for f in (factor, other))
        assert right > 0.3
        assert right > wrong + 0.2
    assert model.explain(target="age", baseline="global").shape == (60, 1)


def test_probabilities_are_calibrated_on_rows_that_were_held_out(tmp_path):
    rows = planted(1000)
    wrong = np.random.default_rng(1).random(1000) < 0.25
    code = rows.obs["platform"].cat.codes.to_numpy()
    flipped = np.where(wrong & (code >= 0), 1 - code, code)
    rows.obs["platform"] = pd.Categorical.from_codes(flipped, rows.obs["platform"].cat.categories)
    adata, fresh = rows[:600].copy(), rows[600:].copy()
    dv.DisentangledVI.setup_anndata(adata, factor_groups=GROUPS)
    model = dv.DisentangledVI(adata, independence="none")
    model.train(max_epochs=20, train_size=0.7, **QUIET)
    assert set(model.fitted.calibrations) == {"tissue", "state", "platform", "study"}
    code = fresh.obs["platform"].cat.codes.to_numpy()
    known = np.flatnonzero(code >= 0)

    def loss(calibrated):
        p = model.predict(fresh, factor="platform", soft=True, calibrated=calibrated)
        return -np.log(p.to_numpy()[known, code[known]]).mean()

    assert model.fitted.calibrations["platform"].temperature > 1.1
    assert loss(True) < loss(False) - 0.02
    model.save(tmp_path / "m")
    again = dv.DisentangledVI.load(tmp_path / "m").predict(fresh, factor="platform", soft=True)
    pd.testing.assert_frame_equal(again, model.predict(fresh, factor="platform", soft=True))
    # Nothing held out, nothing to calibrate by.
    model.train(max_epochs=1, train_size=1.0, **QUIET)
    assert model.fitted.calibrations["platform"].temperature == 1.0


def test_saved_and_loaded(adata, model, tmp_path):
    model.save(tmp_path / "m")
    bare = dv.DisentangledVI.load(tmp_path / "m")
    fresh = planted(600)[500:].copy()
    np.testing.assert_array_equal(
        bare.get_latent_representation(fresh), model.get_latent_representation(fresh)
    )
    assert bare.predict(fresh, factor="age", soft=True).equals(
        model.predict(fresh, factor="age", soft=True)
    )
    full = dv.DisentangledVI.load(tmp_path / "m", adata)
    pd.testing.assert_frame_equal(full.get_variance_shares(), model.get_variance_shares())
    assert list(full.history) == list(model.history)
    with pytest.raises(ModelFileError, match="holds a DisentangledVI, not a DomainVI"):
        dv.DomainVI.load(tmp_path / "m")


def test_counts_with_confounding_say_so(caplog):
    adata = dv.data.synthetic_factors(300, 40, values="counts", confounding=0.8, seed=2)
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    assert "'state' and 'platform' are associated" in caplog.text
    model = dv.DisentangledVI(adata)
    model.train(max_epochs=3, **QUIET)
    model.annotate()
    assert adata.uns["domainvi"]["confounded"].tolist() == ["state and platform"]
    assert model.likelihood == "nb"
    expression = model.get_normalized_expression(technical="study_1")
    assert (expression.to_numpy() >= 0).all()
    assert np.isfinite(float(model.get_elbo()))
    table = model.get_leakage(n_permutations=1)
    tied = table[(table["subspace"] == "biological") & (table["factor"] == "platform")]
    assert tied["chance"].item() > 0.6


@pytest.mark.parametrize("independence", ["adversarial", "covariance", "hsic"])
def test_weight_zero_trains_the_same_model_as_none(independence):
    adata = dv.data.synthetic_factors(120, 20, seed=0)
    latents = []
    for kind, plan in (("none", {}), (independence, {"independence_weight": 0.0})):
        dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
        model = dv.DisentangledVI(adata, independence=kind)
        model.train(max_epochs=2, plan_kwargs=plan, **QUIET)
        latents.append(model.get_latent_representation())
    assert np.array_equal(*latents)


def test_groups_that_ask_for_too_many_units_are_refused():
    adata = dv.data.synthetic_factors(80, 20)
    dv.DisentangledVI.setup_anndata(adata, factor_groups=adata.uns["factor_groups"])
    with pytest.raises(InputError, match="ask for 6 units in group 'biological'.*it has 4"):
        dv.DisentangledVI(adata, n_latent=12, n_residual=4, direct_factors=["tissue", "state"])
    with pytest.raises(InputError, match="leave 1 units for 2 groups"):
        dv.DisentangledVI(adata, n_latent=5, n_residual=4)
    with pytest.raises(InputError, match="names 'sex'"):
        dv.DisentangledVI(adata, direct_factors=["sex"])


def test_bad_input_is_refused_early(adata):
    with pytest.raises(InputError, match="labels_key='sex' is in none"):
        dv.DisentangledVI.setup_anndata(adata, factor_groups=GROUPS, labels_key="sex")
    dv.DisentangledVI.setup_anndata(adata, factor_groups=GROUPS)
    fresh = dv.DisentangledVI(adata)
    with pytest.raises(NotTrainedError):
        fresh.get_variance_shares()
    with pytest.raises(InputError, match="plan_kwargs has adversary_weight"):
        fresh.train(plan_kwargs={"adversary_weight": 1.0})
    with pytest.raises(InputError, match="independence='sudoku'"):
        dv.DisentangledVI(adata, independence="sudoku")
