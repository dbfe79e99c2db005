"""Cautions: each has its code, its reason and its numbers, and without a reason there is none."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domainvi.trust import CODES, Flagged, GuardRecord, audit_arrays, find_cautions, texts

PAGE = Path(__file__).parents[2] / "docs" / "cautions.md"


def rows(**columns):
    label = np.repeat(["B", "T"], 50)
    defaults = {"label": label, "confidence": np.full(100, 0.9), "unknown": np.full(100, 0.5)}
    return pd.DataFrame(defaults | columns)


def cautions(of=None, *, guard=None, audit=None, n_missing=0, **arguments):
    of = rows() if of is None else of
    guard = GuardRecord() if guard is None else guard
    return find_cautions(of, guard=guard, audit=audit, n_genes=60, n_missing=n_missing, **arguments)


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
    found = Flagged.count([np.nan]).to_dict()
    assert np.isnan(found.pop("p_value"))
    assert found == {
        "tested": 0,
        "found": 0,
        "discoveries": 0,
        "share": 0.0,
        "alpha": 0.05,
        "by_chance": 0.0,
        "fdr": 0.1,
    }


PLAIN = audit_arrays([0, 1, 0, 1], [0, 0, 1, 1])
NESTED = replace(
    audit_arrays([0, 1, 0, 1], [0, 0, 1, 1]), nested=("Tumours are in one cohort only.",)
)


REASONS = [
    (
        "C01 alignment",
        "caution",
        {"guard": GuardRecord("off"), "audit": PLAIN},
        "because the audit refused it.",
    ),
    (
        "C01 alignment",
        "caution",
        {"guard": GuardRecord("off"), "is_new": True, "scaled_alike": True},
        "trained on one cohort",
    ),
    ("C02 nested", "caution", {"audit": NESTED}, "Tumours are in one"),
    (
        "C02 nested",
        "note",
        {"audit": replace(PLAIN, with_predictions=NESTED)},
        "By the predictions, Tumours are in one cohort only.",
    ),
    (
        "C03 composition",
        "caution",
        {"guard": GuardRecord(row_wise_share=0.8)},
        "had 80% of the vote",
    ),
    (
        "C04 unknown",
        "caution",
        {"of": rows(unknown=np.repeat([0.01, 0.5], [30, 70]))},
        "30 of 100 rows fit no known class at p ≤ 0.05, where chance gives 5; 30 are called",
    ),
    (
        "C04 unknown",
        "caution",
        {"of": rows(unknown=np.repeat([0.01, 0.5], [30, 70]))},
        "30 of them are called 'B': the reference may lack a class that is near it",
    ),
    (
        "C04 unknown",
        "caution",
        {"of": rows(unknown=np.tile([0.01, 0.5], 50))},
        "The reference may lack classes.",
    ),
    ("C05 untested", "caution", {"of": rows(unknown=np.nan)}, "could not be looked for"),
    ("C06 unsure", "caution", {"of": rows(confidence=np.repeat([0.4, 0.9], [40, 60]))}, "40% of"),
    ("C07 small", "caution", {"n_small": 12}, "12 of 100 rows are of cohorts"),
    ("C08 genes", "note", {"n_missing": 1}, "1 of the model's 60 genes is missing here."),
    ("C08 genes", "note", {"n_missing": 12}, "12 of the model's 60 genes are missing here."),
    ("C08 genes", "caution", {"n_missing": 13}, "13 of the model's 60 genes are missing here."),
    ("C10 excluded", "caution", {"n_excluded": 6}, "6 of 100 rows are more likely of the classes"),
    ("C09 single", "note", {"set_aside": {"type": ["B"]}}, "Classes of 'type' with one labelled"),
]


@pytest.mark.parametrize(("code", "level", "arguments", "expected"), REASONS)
def test_each_has_its_reason(code, level, arguments, expected):
    assert cautions() == []
    (caution,) = cautions(**arguments)
    assert (caution.code, caution.level) == (code, level)
    assert expected in caution.sentence
    assert str(caution).startswith(f"{code}: ")


def test_every_code_is_tried_and_has_its_own_number():
    assert {code for code, *_ in REASONS} == set(CODES)
    assert len({code.split()[0] for code in CODES}) == len(CODES)


def test_levels_are_kept_apart():
    found = cautions(guard=GuardRecord("off"), is_new=True, scaled_alike=True, n_missing=1)
    assert [len(texts(found, level)) for level in ("caution", "note")] == [1, 1]
    assert texts([], "note").dtype.kind == "U"  # h5ad holds an empty array of text


@pytest.mark.skipif(not PAGE.is_file(), reason="the documentation stands in the repository only")
def test_the_page_lists_every_code_with_what_to_do():
    found = re.findall(r"^## (C\d\d \w+)\n\n(.+?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert [code for code, _ in found] == list(CODES)
    assert all("**What to do.**" in text for _, text in found)
