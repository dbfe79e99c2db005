"""Further phenotypes as columns: what is found, what is missing, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.data._prepare import Phenotype, find_phenotypes, phenotype_column
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

OBS = pd.DataFrame(
    {
        "sex": pd.Categorical(["m", "f", None, "Unknown"], ["m", "f", "Unknown", "unused"]),
        "age": [1.0, np.nan, 3.0, 4.0],
        "smoker": [True, False, True, None],
    }
)


def test_numbers_and_names_are_told_apart() -> None:
    twice = pd.concat([OBS, OBS])  # a class with one row is set aside
    found = find_phenotypes(twice, ["sex", "age", "smoker"], "Unknown")
    assert [t.classes for t in found] == [("f", "m"), (), ("False", "True")]
    assert [t.is_numeric for t in found] == [False, True, False]
    assert [t.n_outputs for t in found] == [2, 1, 2]


def test_what_is_no_value_is_missing() -> None:
    sex = phenotype_column(OBS, Phenotype("sex", ("f", "m")), "Unknown")
    assert sex.tolist() == ["m", "f", "Unknown", "Unknown"]
    assert phenotype_column(OBS, Phenotype("sex", ("f", "x")), "Unknown").tolist()[0] == "Unknown"
    assert (
        phenotype_column(OBS, Phenotype("none", ("f", "m")), "Unknown").tolist() == ["Unknown"] * 4
    )
    np.testing.assert_array_equal(phenotype_column(OBS, Phenotype("age"), "Unknown"), OBS["age"])
    assert np.isnan(phenotype_column(OBS, Phenotype("none"), "Unknown")).all()
    # A query that holds text where the model has numbers has no values there.
    text = pd.DataFrame({"age": ["12", "old"]})
    np.testing.assert_array_equal(
        phenotype_column(text, Phenotype("age"), "Unknown"), [12.0, np.nan]
    )


def numbers(n: int, values: list[float]) -> np.ndarray:
    column = np.full(n, np.nan)
    column[: len(values)] = values
    return column


BAD = {
    "the batch key": ("cohort", None, "'cohort' is given 2 times"),
    "the labels key": ("label", None, "'label' is given 2 times"),
    "one value": ("t", lambda n: numbers(n, [5.0] * 30), "1 different values in 30 rows"),
    "few numbers": ("t", lambda n: numbers(n, [1.0, 2.0, 3.0]), "numbers in 3 rows; at least 10"),
    "no number": ("t", lambda n: numbers(n, []), "0 different values in 0 rows"),
    "infinite": ("t", lambda n: numbers(n, [1.0, np.inf] * 20), "20 infinite values"),
    "class of one": ("t", lambda n: ["x"] * (n - 2) + ["y", None], "have one labelled row: 'y'"),
    "one class": ("t", lambda n: ["x"] * n, "has one class, 'x'"),
    "all missing": ("t", lambda n: np.full(n, None, dtype=object), "labels none of the 120 rows"),
    "a level a row": ("t", lambda n: [f"r{i}" for i in range(n)], "120 of 120 classes have one"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_targets_are_refused_at_setup(make_adata: Callable[..., AnnData], case: str) -> None:
    key, make, message = BAD[case]
    adata = make_adata()
    if make is not None:
        adata.obs[key] = make(adata.n_obs)
    before = adata.obs.copy()
    with pytest.raises(InputError, match=message):
        dv.DomainVI.setup_anndata(adata, "cohort", "label", target_keys=[key])
    pd.testing.assert_frame_equal(adata.obs, before)


def test_target_twice_is_refused(make_adata: Callable[..., AnnData]) -> None:
    with pytest.raises(InputError, match=r"'truth' is given 2 times \(target_keys\)"):
        dv.DomainVI.setup_anndata(make_adata(), "cohort", "label", target_keys=["truth", "truth"])
