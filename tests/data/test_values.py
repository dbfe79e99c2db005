"""Which likelihood fits the values."""

import warnings

import numpy as np
import pytest

from domainvi.data import check_likelihood, describe_matrix
from domainvi.errors import InputError

COUNTS = describe_matrix(np.array([[0, 1, 30]]))
LARGE_COUNTS = describe_matrix(np.array([[0, 1, 4000]]))
LOG = describe_matrix(np.array([[0, 1.5, 2.5, 3.0, 7.25]]))
CENTRED = describe_matrix(np.array([[-1.5, 0.5]]))
NEGATIVE = describe_matrix(np.array([[-1.0, 2.0]]))


@pytest.mark.parametrize(
    ("summary", "likelihood", "resolved"),
    [
        (COUNTS, "auto", "nb"),
        (LARGE_COUNTS, "auto", "nb"),
        (LOG, "auto", "normal"),
        (CENTRED, "auto", "normal"),
        (LARGE_COUNTS, "zinb", "zinb"),
        (COUNTS, "poisson", "poisson"),
        (COUNTS, "normal", "normal"),
        (CENTRED, "normal", "normal"),
    ],
)
def test_fitting_likelihoods_are_resolved(summary, likelihood: str, resolved: str) -> None:
    assert check_likelihood(summary, likelihood) == resolved


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_log_values_for_counts_are_refused_with_their_share(likelihood: str) -> None:
    with pytest.raises(InputError) as caught:
        check_likelihood(LOG, likelihood)
    for fragment in (
        f"likelihood={likelihood!r}",
        "75.0% of the values other than 0 are not whole numbers (3 of 4)",
        "likelihood='normal'",
        "layer='counts'",
    ):
        assert fragment in str(caught.value)


def test_negative_counts_are_refused_with_their_number() -> None:
    with pytest.raises(InputError, match="and 1 are negative"):
        check_likelihood(NEGATIVE, "nb")


def test_raw_counts_for_a_normal_likelihood_are_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"largest is 4000 \(counts\).*log1p, or use .*'nb'"):
        assert check_likelihood(LARGE_COUNTS, "normal") == "normal"


def test_a_trained_model_is_not_told_to_take_another_likelihood() -> None:
    with pytest.raises(InputError, match="The model was trained on counts") as caught:
        check_likelihood(LOG, "nb", trained=True)
    assert "Use likelihood=" not in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_likelihood(LARGE_COUNTS, "normal", trained=True) == "normal"


def test_intensities_that_are_not_logarithms_are_warned_about() -> None:
    summary = describe_matrix(np.array([[0.5, 812.3]]))
    with pytest.warns(UserWarning, match=r"812\.3 \(nonnegative\).*scanpy\.pp\.log1p\.$"):
        check_likelihood(summary, "auto")


def test_an_unknown_likelihood_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="'gamma' is unknown; expected one of auto, nb, zinb"):
        check_likelihood(COUNTS, "gamma")
