"""Separation of known and unknown rows."""

import numpy as np
import pytest

from domainvi.errors import InputError
from domainvi.metrics import auroc, fpr_at_95_tpr


def test_perfect_and_reversed_scores():
    unknown = np.repeat([False, True], 20)
    score = np.arange(40.0)
    assert (auroc(score, unknown), fpr_at_95_tpr(score, unknown)) == (1.0, 0.0)
    assert (auroc(-score, unknown), fpr_at_95_tpr(-score, unknown)) == (0.0, 1.0)


def test_a_constant_score_says_nothing():
    unknown = np.repeat([False, True], 20)
    assert auroc(np.zeros(40), unknown) == 0.5
    assert fpr_at_95_tpr(np.zeros(40), unknown) == 1.0


def test_fpr_by_hand():
    # of 20 unknown rows the threshold may miss one; the next, 1.5, lies above one known row of four
    unknown = np.repeat([True, False], [20, 4])
    score = np.r_[0.5, 1.5, np.full(18, 9.0), [1.0, 2.0, 3.0, 4.0]]
    assert fpr_at_95_tpr(score, unknown) == 0.75


@pytest.mark.parametrize("flag", [True, False])
def test_one_kind_of_row_is_refused(flag):
    with pytest.raises(InputError, match="some rows"):
        auroc([0.1, 0.2], [flag, flag])
