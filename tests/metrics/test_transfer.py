"""Label metrics against values by hand."""

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.metrics import (
    accuracy,
    balanced_accuracy,
    macro_f1,
    negative_transfer_rate,
    per_class_recall,
)

TRUTH = ["a", "a", "a", "b", "b"]
PREDICTED = ["a", "a", "z", "b", "a"]


def test_macro_f1_by_hand_keeps_the_whole_prediction_space():
    # a: tp 2, fp 1, fn 1 -> 2/3; b: tp 1, fp 0, fn 1 -> 2/3; z is not in the truth
    assert macro_f1(TRUTH, PREDICTED) == pytest.approx(2 / 3)


def test_macro_f1_is_lower_when_a_row_leaves_for_an_absent_class():
    assert macro_f1(["a", "b"], ["a", "b"]) == 1.0
    assert macro_f1(["a", "b"], ["a", "z"]) == 0.5


def test_recall_and_accuracies_by_hand():
    classes, recall = per_class_recall(TRUTH, PREDICTED)
    assert classes.tolist() == ["a", "b"]
    np.testing.assert_allclose(recall, [2 / 3, 1 / 2])
    assert balanced_accuracy(TRUTH, PREDICTED) == pytest.approx(7 / 12)
    assert accuracy(TRUTH, PREDICTED) == pytest.approx(3 / 5)


def test_integer_codes_and_strings_give_one_result():
    codes = {"a": 0, "b": 1, "z": 2}
    truth, predicted = ([codes[v] for v in values] for values in (TRUTH, PREDICTED))
    assert macro_f1(truth, predicted) == macro_f1(TRUTH, PREDICTED)


def test_negative_transfer_counts_losses_beyond_the_tolerance():
    scores, reference = [0.90, 0.88, 0.95, 0.50], [0.91, 0.90, 0.90, 0.90]
    assert negative_transfer_rate(scores, reference) == 0.5
    assert negative_transfer_rate(scores, reference, tolerance=0.05) == 0.25
    assert negative_transfer_rate(scores, reference, tolerance=0.0) == 0.75


@pytest.mark.parametrize(
    ("truth", "predicted"), [([], []), (["a"], ["a", "b"]), ([["a"]], [["a"]])]
)
def test_bad_shapes_are_refused(truth, predicted):
    with pytest.raises(InputError, match="one length"):
        macro_f1(truth, predicted)


def test_unfinished_units_are_refused():
    with pytest.raises(InputError, match="NaN in 1 of 2"):
        negative_transfer_rate([0.5, np.nan], [0.5, 0.5])
    with pytest.raises(InputError, match="tolerance"):
        negative_transfer_rate([0.5], [0.5], tolerance=-1)
