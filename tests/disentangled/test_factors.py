"""Groups of factors: what is read, and what is refused with which words."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from domainvi.data import synthetic_factors
from domainvi.disentangled._factors import (
    Factor,
    confounded_pairs,
    factor_values,
    read_factors,
)
from domainvi.errors import InputError

GROUPS = {"biological": ["tissue", "age"], "technical": ["platform"]}


@pytest.fixture
def obs():
    n = 24
    return pd.DataFrame(
        {
            "tissue": pd.Categorical(np.array(["liver", "lung", "Unknown"])[np.arange(n) % 3]),
            "age": np.arange(n, dtype=float),
            "platform": np.array(["array", "rnaseq"])[np.arange(n) // 2 % 2],
            "study": np.array(["s0", "s1", "s2", "s3"])[np.arange(n) // 2 % 4],
            "row": [f"r{i}" for i in range(n)],
            "same": 1.0,
        }
    )


def test_levels_numbers_and_missing_values(obs):
    obs.loc[3, "age"] = np.nan
    obs.loc[4, "platform"] = None
    factors = read_factors(obs, GROUPS, "Unknown")
    assert [f.name for f in factors] == ["tissue", "age", "platform"]
    assert factors[0].levels == ("liver", "lung")
    assert factors[1].is_numeric
    assert factors[1].n_levels == 4
    values = factor_values(obs, factors, "Unknown")
    assert np.isnan(values[2, 0])
    assert np.isnan(values[3, 1])
    assert np.isnan(values[4, 2])
    assert values[:2, 0].tolist() == [0, 1]
    assert np.nanmean(values[:, 1]) == pytest.approx(0, abs=1e-6)
    assert np.bincount(factors[1].codes(values[:, 1]) + 1).tolist() == [1, 6, 5, 6, 6]


def test_a_column_that_is_not_there_is_missing_everywhere(obs):
    factors = read_factors(obs, GROUPS, "Unknown")
    assert np.isnan(factor_values(obs[["age"]], factors, "Unknown")[:, [0, 2]]).all()


def test_round_trip_through_plain_values(obs):
    for factor in read_factors(obs, GROUPS, "Unknown"):
        assert Factor.from_dict(asdict(factor)) == factor


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"a": ["tissue"]}, "has 1 groups; at least two"),
        ({"a": ["tissue"], "b": "platform"}, r"factor_groups\['b'\]='platform': expected a list"),
        ({"a": ["tissue"], "residual": ["platform"]}, "subspace of no factor"),
        ({1: ["tissue"], "b": ["platform"]}, "group 1 of type int; use text"),
        ({"type": ["tissue"], "b": ["platform"]}, "group called 'type'.*Rename"),
        ({"training": ["tissue"], "b": ["platform"]}, "group called 'training'"),
        ({"a": ["tissue"], "tech.nical": ["platform"]}, "group called 'tech.nical'"),
        ({"a": ["tissue"], "": ["platform"]}, "group called ''"),
        ({"a": ["tisue"], "b": ["platform"]}, "Did you mean 'tissue'"),
        ({"a": ["tissue"], "b": ["tissue"]}, "belongs to one group"),
        ({"a": ["tissue"], "b": ["row"]}, "24 levels in 24 rows, nearly one a row"),
        ({"a": ["tissue"], "b": ["same"]}, "1 different values"),
        ({"a": ["study"], "b": ["platform"]}, "(?s)'study'.* is nested in 'platform'.*s3"),
    ],
)
def test_refused_with_the_reason(obs, groups, words):
    with pytest.raises(InputError, match=words):
        read_factors(obs, groups, "Unknown")


def test_a_nested_factor_in_the_same_group_is_welcome(obs):
    factors = read_factors(obs, {"a": ["tissue"], "b": ["platform", "study"]}, "Unknown")
    assert len(factors) == 3


def test_labels_in_one_domain_only_are_no_nesting(obs):
    obs.loc[obs["platform"] == "array", "tissue"] = "Unknown"
    assert len(read_factors(obs, GROUPS, "Unknown")) == 3


def test_confounded_pairs_are_named_the_strongest_first():
    free = synthetic_factors(400, 5, seed=1)
    tied = synthetic_factors(400, 5, confounding=0.8, seed=1)
    found = []
    for adata in (free, tied):
        factors = read_factors(adata.obs, adata.uns["factor_groups"], "Unknown")
        values = factor_values(adata.obs, factors, "Unknown")
        pairs = confounded_pairs(factors, values)
        found.append([[factors[i].name for i in pair] for pair in pairs])
    assert found == [[], [["state", "platform"]]]


def test_planted_shares_are_those_of_the_rows():
    adata = synthetic_factors(3000, 30, noise=0.0, seed=2)
    effect = pd.get_dummies(adata.obs).to_numpy(float)
    explained = []
    for prefix in ("tissue|state", "platform|study"):
        columns = pd.get_dummies(adata.obs).columns.str.contains(prefix)
        design = np.c_[effect[:, columns], np.ones(3000)]
        fit = design @ np.linalg.lstsq(design, adata.X, rcond=None)[0]
        explained.append(fit.var(axis=0) / adata.X.var(axis=0))
    for share, name in zip(explained, ("biological", "technical"), strict=True):
        np.testing.assert_allclose(share, adata.var[f"share_{name}"], atol=0.12)


def test_counts_and_missing_values_can_be_drawn():
    adata = synthetic_factors(200, 10, values="counts", missing=0.3, seed=0)
    assert np.equal(np.mod(adata.X, 1), 0).all()
    assert 0.2 < adata.obs["tissue"].isna().mean() < 0.4
    with pytest.raises(InputError, match="missing=2"):
        synthetic_factors(missing=2)
