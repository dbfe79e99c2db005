"""Cautions: each has its reason and its numbers, and without a reason there is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from domainvi.trust import Flagged, GuardRecord, audit_arrays, find_cautions


def rows(**columns):
    return pd.DataFrame({"confidence": np.full(100, 0.9), "unknown": np.full(100, 0.5)} | columns)


def cautions(of=None, *, guard=None, audit=None, n_missing=0):
    of = rows() if of is None else of
    guard = GuardRecord() if guard is None else guard
    return list(find_cautions(of, guard=guard, audit=audit, n_genes=60, n_missing=n_missing))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_rows_of_unknown_classes_are_estimated_and_called(share):
    rng = np.random.default_rng(0)
    found, false, called = [], [], []
    for _ in range(50):
        unknown = rng.random(500) < share
        p = np.where(unknown, rng.beta(0.2, 20, 500), rng.random(500))
        flagged = Flagged.count(p)
        found.append(flagged.share)
        called.append(p <= flagged.p_value)
        assert called[-1].sum() == flagged.discoveries
        false.append((called[-1] & ~unknown).sum() / max(1, flagged.discoveries))
    assert np.mean(found) == pytest.approx(share, abs=0.05)
    assert np.mean(false) < Flagged.FDR + 0.02
    assert share == 0 or np.mean(called) > 0.8 * share


def test_nothing_tested_is_nothing_called():
    assert Flagged.count([np.nan]).to_dict() == {
        "tested": 0,
        "found": 0,
        "discoveries": 0,
        "p_value": 0.0,
        "share": 0.0,
        "alpha": 0.05,
        "by_chance": 0.0,
        "fdr": 0.1,
    }


NESTED = replace(
    audit_arrays([0, 1, 0, 1], [0, 0, 1, 1]), nested=("Tumours are in one cohort only.",)
)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"guard": GuardRecord("off")}, "Alignment is off, because the audit refused it."),
        ({"guard": GuardRecord(row_wise_share=0.8)}, "at a time had 80% of the vote"),
        ({"audit": NESTED}, "Tumours are in one"),
        ({"n_missing": 10}, "10 of the model's 60 genes are missing here."),
        (
            {"of": rows(unknown=np.repeat([0.01, 0.5], [30, 70]))},
            "30 of 100 rows fit no known class at p ≤ 0.05, where chance gives 5.",
        ),
        ({"of": rows(unknown=np.nan)}, "could not be looked for"),
        ({"of": rows(confidence=np.repeat([0.4, 0.9], [40, 60]))}, "40% of the rows"),
    ],
)
def test_each_has_its_reason(arguments, expected):
    assert cautions() == []
    (caution,) = cautions(**arguments)
    assert expected in caution
