"""The synthetic cohorts hold what they promise."""

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi.data import describe_matrix, synthetic_cohorts
from domainvi.errors import InputError


def domains_apart(
    adata: ad.AnnData,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    first = (adata.obs["domain"] == "domain_0").to_numpy()
    label = adata.obs["label_true"].to_numpy(dtype=str)
    return (adata.X[first], label[first]), (adata.X[~first], label[~first])


def classifier() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))


def cramers_v(adata: ad.AnnData) -> float:
    """Cramér's V by pandas, from the definition."""
    table = pd.crosstab(adata.obs["domain"], adata.obs["label_true"]).to_numpy()
    expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
    chi2 = ((table - expected) ** 2 / expected).sum()
    return float(np.sqrt(chi2 / table.sum() / (min(table.shape) - 1)))


@pytest.mark.parametrize("values", ["counts", "log"])
def test_shapes_names_and_kinds(values: Any) -> None:
    adata = synthetic_cohorts(90, 60, 3, 3, 5, values=values)
    assert adata.shape == (90, 60)
    assert adata.X.dtype == np.float32
    assert describe_matrix(adata.X).kind == ("counts" if values == "counts" else "nonnegative")
    assert adata.obs["domain"].value_counts().to_dict() == dict.fromkeys(
        ["domain_0", "domain_1", "domain_2"], 30
    )
    assert adata.var["marker_of"].value_counts()["class_1"] == 5
    assert (adata.var["marker_of"] == "").sum() == 45


@pytest.mark.parametrize("seed", range(3))
def test_a_strong_shift_defeats_a_classifier_that_alignment_rescues(seed: int) -> None:
    adata = synthetic_cohorts(values="log", domain_effect=3.0, seed=seed)
    (x, y), (x_new, y_new) = domains_apart(adata)
    assert f1_score(y_new, classifier().fit(x, y).predict(x_new), average="macro") < 0.6
    within = cross_val_score(classifier(), x_new, y_new, cv=3, scoring="f1_macro")
    assert within.mean() > 0.95
    x, x_new = (StandardScaler().fit_transform(part) for part in (x, x_new))
    aligned = classifier().fit(x, y).predict(x_new)
    assert f1_score(y_new, aligned, average="macro") > 0.9


def test_without_a_shift_a_classifier_carries_over() -> None:
    adata = synthetic_cohorts(values="log", domain_effect=0.0)
    (x, y), (x_new, y_new) = domains_apart(adata)
    assert classifier().fit(x, y).score(x_new, y_new) > 0.98
    np.testing.assert_array_equal(adata.var["shift_domain_1"], 0)


def test_planted_markers_rise_in_their_class_and_others_do_not() -> None:
    adata = synthetic_cohorts(values="log", domain_effect=0.0, class_effect=1.0, n_obs=800)
    label, marker_of = adata.obs["label_true"], adata.var["marker_of"]
    for name in label.cat.categories:
        rise = adata.X[label == name].mean(0) - adata.X[label != name].mean(0)
        assert rise[marker_of == name].mean() == pytest.approx(1.0, abs=0.2)
        assert abs(rise[marker_of == ""].mean()) < 0.15


def test_planted_shifts_are_found_between_domains() -> None:
    adata = synthetic_cohorts(values="log", n_obs=800, class_effect=0.0)
    (x, _), (x_new, _) = domains_apart(adata)
    found = x_new.mean(0) - x.mean(0)
    assert np.corrcoef(found, adata.var["shift_domain_1"])[0, 1] > 0.97
    np.testing.assert_array_equal(adata.var["shift_domain_0"], 0)


@pytest.mark.parametrize("confounding", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize(("n_classes", "n_domains"), [(4, 2), (2, 4), (3, 3)])
def test_confounding_is_cramers_v(confounding: float, n_classes: int, n_domains: int) -> None:
    adata = synthetic_cohorts(
        n_classes=n_classes, n_domains=n_domains, confounding=confounding, n_obs=720
    )
    assert cramers_v(adata) == pytest.approx(confounding, abs=0.02)
    assert adata.uns["truth"]["cramers_v"] == pytest.approx(confounding, abs=0.02)


def test_uneven_numbers_reach_less_than_full_confounding() -> None:
    values = [cramers_v(synthetic_cohorts(n_classes=3, confounding=c)) for c in (0, 0.5, 1)]
    assert values[0] < 0.01
    assert values[1] == pytest.approx(values[2] / 2, abs=0.01)
    assert 0.7 < values[2] < 0.9


def test_the_class_mix_shift_moves_the_mixes_apart() -> None:
    def distance(shift: float) -> float:
        counts = synthetic_cohorts(class_mix_shift=shift).uns["truth"]["class_counts"]
        mixes = counts / counts.sum(axis=1, keepdims=True)
        return float(np.abs(mixes[0] - mixes[1]).sum() / 2)

    distances = [distance(shift) for shift in (0.0, 0.5, 1.0)]
    assert distances == pytest.approx([0, 0.3, 0.6], abs=0.01)


def test_labels_are_given_in_the_first_domains_only() -> None:
    obs = synthetic_cohorts(n_domains=3, labelled_domains=2).obs
    known = obs["domain"] != "domain_2"
    assert (obs["label"][known].astype(str) == obs["label_true"][known].astype(str)).all()
    assert (obs["label"][~known] == "Unknown").all()
    assert "Unknown" not in obs["label_true"].cat.categories


def test_classes_can_be_missing_in_the_target_or_unknown_to_the_source() -> None:
    adata = synthetic_cohorts(missing_class_in_target=True, unknown_class_in_target=True)
    found = adata.uns["truth"]["class_counts"] > 0
    np.testing.assert_array_equal(found, [[1, 1, 1, 0], [0, 1, 1, 1]])
    assert list(adata.obs["label_true"].cat.categories) == [f"class_{i}" for i in range(4)]
    assert "class_3" not in adata.obs["label"].cat.categories


def test_dispersion_and_depth_are_as_asked() -> None:
    plain = {"class_effect": 0.0, "domain_effect": 0.0, "n_obs": 2000, "n_genes": 50}
    adata = synthetic_cohorts(**plain, n_markers=1, dispersion=0.5, library_size=5000)
    assert np.median(adata.X.sum(axis=1)) == pytest.approx(5000, rel=0.1)
    scaled = adata.X / adata.X.sum(axis=1, keepdims=True) * 5000
    frequent = scaled.mean(0) > 100
    overdispersion = (scaled.var(0) - scaled.mean(0)) / scaled.mean(0) ** 2
    assert np.median(overdispersion[frequent]) == pytest.approx(0.5, abs=0.1)
    poisson = synthetic_cohorts(**plain, n_markers=1, dispersion=0).X
    shares = poisson / poisson.sum(axis=1, keepdims=True)
    assert np.median(shares.std(0) / shares.mean(0)) < 0.2


def test_the_seed_decides() -> None:
    first, again, other = (synthetic_cohorts(50, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.X, again.X)
    pd.testing.assert_frame_equal(first.obs, again.obs)
    assert (first.X != other.X).any()


@pytest.mark.parametrize("values", ["counts", "log"])
def test_cohorts_survive_h5ad(tmp_path: Path, values: Any) -> None:
    adata = synthetic_cohorts(40, values=values, labelled_domains=2)
    adata.write_h5ad(tmp_path / "cohorts.h5ad")
    back = ad.read_h5ad(tmp_path / "cohorts.h5ad")
    np.testing.assert_array_equal(back.X, adata.X)
    pd.testing.assert_frame_equal(back.obs, adata.obs, check_index_type=False)
    pd.testing.assert_frame_equal(back.var, adata.var, check_index_type=False)
    assert back.uns["truth"]["seed"] == 0
    np.testing.assert_array_equal(
        back.uns["truth"]["class_counts"], adata.uns["truth"]["class_counts"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_genes": 39}, "n_genes=39 is out of range; expected 40 to inf"),
        ({"n_classes": 1}, "n_classes=1"),
        ({"n_domains": 0}, "n_domains=0"),
        ({"n_obs": 7}, "n_obs=7 is out of range; expected 8"),
        ({"confounding": 1.1}, "confounding=1.1 is out of range; expected 0 to 1"),
        ({"class_mix_shift": -0.1}, "class_mix_shift=-0.1"),
        ({"labelled_domains": 3}, "labelled_domains=3 is out of range; expected 1 to 2"),
        ({"library_size": 0}, "library_size=0"),
        ({"dispersion": np.nan}, "dispersion=nan"),
        ({"values": "tpm"}, "values='tpm' is unknown"),
        ({"labelled_domains": 2, "missing_class_in_target": True}, "leaves no target"),
        (
            {"n_classes": 2, "n_domains": 4, "confounding": 1.0, "missing_class_in_target": True},
            "leaves a domain without any class",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        synthetic_cohorts(**arguments)
