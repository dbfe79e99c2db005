"""Cautions: each has its reason and its numbers, and without a reason there is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from domainvi.trust import GuardRecord, audit_arrays, find_cautions


def rows(**columns):
    return pd.DataFrame({"confidence": np.full(100, 0.9), "unknown": np.full(100, 0.5)} | columns)


def cautions(of=None, *, guard=None, audit=None, n_missing=0):
    of = rows() if of is None else of
    guard = GuardRecord() if guard is None else guard
    return list(find_cautions(of, guard=guard, audit=audit, n_genes=60, n_missing=n_missing))


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
