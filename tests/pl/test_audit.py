"""The audit of the bundled cohorts, and of a model that was trained on hidden labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import InputError

COUNTS = [[69, 40], [72, 72], [16, 32], [32, 58]]


@pytest.fixture(scope="module")
def found() -> dv.tl.Audit:
    return dv.tl.audit_confounding(dv.data.cohorts(), batch_key="cohort", labels_key="cancer_type")


def test_counts_shares_and_verdict(found: dv.tl.Audit) -> None:
    axes = dv.pl.audit(found)
    text = [t.get_text() for t in axes.texts]
    assert text == [*map(str, np.ravel(COUNTS)), "0", "0"]
    shade = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shade[:-1], np.array(COUNTS) / np.sum(COUNTS, axis=0))
    assert np.isnan(shade[-1]).all()
    classes = [tick.get_text() for tick in axes.get_yticklabels()]
    assert classes == ["CRC", "KIRC", "KIRP", "LUAD", "no label"]
    assert axes.get_title(loc="left").startswith("Alignment allowed: Cramér's V")


def test_what_a_model_keeps_is_drawn_too(found: dv.tl.Audit) -> None:
    kept = found.to_dict() | {"n_unlabelled": np.array([189, 0]), "verdict": "refused"}
    axes = dv.pl.audit(kept)
    assert [t.get_text() for t in axes.texts][-2:] == ["189", "0"]
    assert axes.title.get_text() == ""
    assert axes._left_title.get_color() == "#D55E00"


def test_diagnosis_stands_beside_it(found: dv.tl.Audit) -> None:
    diagnosis = pd.DataFrame(
        {
            "probe_input": [1.0, 0.9, 0.95],
            "probe_latent": [0.6, 0.5, 0.55],
            "chance": [0.5, 0.5, 0.5],
        },
        index=["CRC", "LUAD", "mean"],
    )
    _, panel = dv.pl.audit(found, diagnosis=diagnosis)
    before, after = (c for c in panel.collections if len(c.get_offsets()) == 3)
    np.testing.assert_allclose(before.get_offsets()[:, 0], [1.0, 0.9, 0.95])
    np.testing.assert_allclose(after.get_offsets()[:, 0], [0.6, 0.5, 0.55])
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["CRC", "LUAD", "mean"]
    legend = [text.get_text() for text in panel.get_legend().texts]
    assert legend == ["chance", "before alignment", "in the latents"]


def test_nested_designs_are_named() -> None:
    adata = dv.data.synthetic_cohorts(n_obs=100)
    adata.obs["kind"] = np.where(adata.obs["domain"] == adata.obs["domain"].iloc[0], "t", "n")
    found = dv.tl.audit_confounding(adata, batch_key="domain", labels_key="kind")
    title = dv.pl.audit(found).get_title(loc="left").replace("\n", " ")
    assert title.startswith("Refused")
    assert found.nested
    assert found.nested[0] in title


def test_something_else_is_refused() -> None:
    with pytest.raises(InputError, match="found has no audit in it; it holds nothing"):
        dv.pl.audit({})
