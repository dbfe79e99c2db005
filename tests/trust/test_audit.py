"""The audit on arrays: verdicts, sentences, nested designs, and what h5ad can hold."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.trust import Audit, audit_arrays, probe_components
from domainvi.trust._audit import nested_designs


def codes(table):
    """Return domain and class codes that give a table of classes by domains."""
    table = np.asarray(table)
    label, domain = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
    return domain, label


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        ([[50, 50], [50, 50]], "alignment allowed"),
        ([[60, 40], [40, 60]], "alignment allowed"),
        ([[70, 30], [30, 70]], "conditional only"),
        ([[90, 10], [10, 90]], "refused"),
        ([[100, 0], [0, 100]], "refused"),
        ([[50, 50], [50, 0]], "refused"),
    ],
)
def test_verdict_follows_the_association(table, verdict):
    audit = audit_arrays(*codes(table))
    assert audit.verdict == verdict
    assert audit.sentence.lower().startswith(verdict)
    np.testing.assert_array_equal(audit.table, table)


def test_figures_by_hand():
    audit = audit_arrays(*codes([[30, 30], [10, 30], [20, 0]]), class_names=["a", "b", "c"])
    assert audit.shared_classes == ("a", "b")
    assert audit.single_domain_classes == ("c",)
    assert audit.shared_fraction == pytest.approx(100 / 120)
    assert audit.mixing_error == pytest.approx(audit.js_divergence[0, 1] / 4)
    # both domains answer "a": tp 60, fp 60
    assert audit.domain_only_macro_f1 == pytest.approx((120 / 180) / 3)
    assert audit.majority_macro_f1 == audit.domain_only_macro_f1


def test_total_confounding():
    audit = audit_arrays(*codes([[40, 0], [0, 40]]))
    assert audit.cramers_v == pytest.approx(1.0)
    assert audit.mutual_information == pytest.approx(1.0)
    assert audit.domain_only_macro_f1 == 1.0
    assert audit.mixing_error == pytest.approx(0.25)
    assert audit.shared_fraction == 0.0


def test_tumour_in_one_cohort_and_normal_in_the_other_is_named():
    audit = audit_arrays(
        *codes([[40, 0], [0, 40]]), domain_names=["gtex", "tcga"], class_names=["normal", "tumor"]
    )
    assert audit.nested == (
        "every class is found in one domain only: normal in gtex, tumor in tcga",
    )
    assert "normal in gtex" in str(audit)


def test_nested_designs_inside_a_larger_table():
    found = nested_designs(
        np.array([[9, 0, 9], [0, 9, 0], [9, 9, 0]]), ("x", "y", "z"), ("a", "b", "c")
    )
    assert found == (
        "classes that no domain holds together: a (x, z) and b (y)",
        "domains that hold one class only: z (a)",
    )
    assert nested_designs(np.ones((3, 3), int), ("x", "y", "z"), ("a", "b", "c")) == ()


def test_a_small_domain_of_one_class_makes_the_verdict_conditional():
    audit = audit_arrays(*codes([[90, 90, 6], [90, 90, 0]]), domain_names=["x", "y", "z"])
    assert audit.cramers_v < 0.3
    assert audit.verdict == "conditional only"
    assert "do not overlap" in audit.sentence
    assert audit.nested == ("domains that hold one class only: z (0)",)


def test_long_findings_are_cut():
    found = nested_designs(np.eye(8, dtype=int), tuple("ABCDEFGH"), tuple("abcdefgh"))
    assert found[0].endswith("e in E and 3 more")


def test_one_labelled_domain_says_that_nothing_is_known():
    domain = np.repeat([0, 1], 50)
    label = np.r_[np.arange(50) % 2, np.full(50, -1)]
    audit = audit_arrays(domain, label, domain_names=["old", "new"])
    assert audit.verdict == "conditional only"
    assert "'old' alone has labels" in audit.sentence
    assert np.isnan(audit.cramers_v)
    assert np.isnan(audit.mixing_error)
    assert audit.n_unlabelled.tolist() == [0, 50]
    assert audit.nested == ()


def test_labels_of_a_coarser_level_are_labels():
    domain = np.repeat([0, 1, 2], 50)
    label = np.r_[np.arange(50) % 2, np.full(100, -1)]
    coarse = domain == 1
    audit = audit_arrays(domain, label, coarse=coarse, domain_names=["old", "broad", "new"])
    assert "'old' alone has labels of the finest level (coarser ones: broad)" in audit.sentence
    assert (audit.n_coarse.tolist(), audit.n_unlabelled.tolist()) == ([0, 50, 0], [0, 0, 50])
    again = Audit.from_dict(audit.to_dict())
    assert again.n_coarse.tolist() == [0, 50, 0]
    # The label of a class says more than the coarser one beside it.
    both = audit_arrays(domain, label, coarse=np.ones(150, bool))
    assert both.n_coarse.tolist() == [0, 50, 50]


def test_predictions_stand_in_for_missing_labels():
    domain = np.repeat([0, 1], 50)
    label = np.r_[np.arange(50) % 2, np.full(50, -1)]
    even = audit_arrays(domain, label, predicted=np.arange(100) % 2)
    skewed = audit_arrays(domain, label, predicted=np.r_[np.zeros(50, int), np.arange(50) < 48])
    assert (even.verdict, even.uses_predictions) == ("alignment allowed", True)
    assert skewed.verdict == "conditional only"
    assert skewed.sentence.endswith("Predicted classes stand in for missing labels.")


def test_known_labels_win_over_predictions():
    domain, label = codes([[50, 50], [50, 50]])
    audit = audit_arrays(domain, label, predicted=domain)
    assert (audit.cramers_v, audit.uses_predictions) == (0.0, False)


def test_the_probe_sees_the_shift_within_classes():
    rng = np.random.default_rng(0)
    domain, label = codes([[40, 40], [40, 40]])
    x = rng.normal(size=(160, 20))
    quiet = probe_components(x, domain, label)
    loud = probe_components(x + 4 * domain[:, None], domain, label)
    assert quiet.within_class < 0.7
    assert loud.within_class == 1.0


def test_a_domain_too_small_for_the_probe_is_left_out():
    rng = np.random.default_rng(0)
    domain, label = codes([[40, 5], [40, 4]])
    assert probe_components(rng.normal(size=(89, 3)), domain, label) is None


@pytest.mark.parametrize("table", [[[50, 50], [50, 50]], [[40, 0, 3], [0, 40, 3]]])
def test_everything_goes_through_h5ad(table, tmp_path):
    domain, label = codes(table)
    features = np.random.default_rng(0).normal(size=(len(label), 4))
    audit = replace(
        audit_arrays(domain, label),
        probe=probe_components(features, domain, label),
        with_predictions=audit_arrays(domain, label, predicted=label),
    )
    written = audit.to_dict()
    ad.AnnData(np.ones((2, 1)), uns={"audit": written}).write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad").uns["audit"]
    assert back.keys() == written.keys()
    assert back["verdict"] == audit.verdict
    assert back["shared_classes"].tolist() == list(audit.shared_classes)
    assert back["nested"].tolist() == list(audit.nested)
    np.testing.assert_array_equal(back["table"], table)
    assert back["probe_balanced_accuracy"] == audit.probe.balanced_accuracy
    again = Audit.from_dict(back)
    np.testing.assert_equal(again.to_dict(), written)
    assert str(again) == str(audit)
    assert isinstance(again.with_predictions, Audit)
    assert [type(v) for v in vars(again).values()] == [type(v) for v in vars(audit).values()]


def test_unlabelled_results_go_through_h5ad_too(tmp_path):
    audit = audit_arrays([0, 0, 1], [0, 1, -1])
    ad.AnnData(np.ones((2, 1)), uns={"a": audit.to_dict()}).write_h5ad(tmp_path / "a.h5ad")
    assert np.isnan(ad.read_h5ad(tmp_path / "a.h5ad").uns["a"]["cramers_v"])


@pytest.mark.parametrize(
    ("domain", "label", "match"),
    [([0, 0], [0, 1], "1 domains"), ([0, 1], [-1, -1], "0 labelled rows")],
)
def test_designs_without_anything_to_compare_are_refused(domain, label, match):
    with pytest.raises(InputError, match=match):
        audit_arrays(domain, label)
