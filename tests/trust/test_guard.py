"""The guard: agreement by hand, alignment, and a record that survives h5ad."""

import anndata as ad
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from domainvi.trust import (
    GuardRecord,
    agreement,
    alignment_allowed,
    audit_arrays,
)


def test_agreement_is_cohens_kappa():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(4), size=(2, 200))
    q[:120] = p[:120]
    expected = cohen_kappa_score(p.argmax(axis=1), q.argmax(axis=1))
    assert agreement(p, q) == pytest.approx(expected)


def test_agreement_is_never_below_zero():
    one, other = np.eye(2)[[0, 1]], np.eye(2)[[1, 0]]
    assert (agreement(one, other), agreement(one, one)) == (0.0, 1.0)


def test_alignment_is_off_where_the_audit_refuses():
    free = audit_arrays([0, 1, 0, 1] * 20, [0, 0, 1, 1] * 20)
    confounded = audit_arrays([0, 0, 1, 1] * 20, [0, 0, 1, 1] * 20)
    assert [alignment_allowed(a) for a in (free, confounded)] == [True, False]
    assert alignment_allowed(confounded, force=True)


@pytest.mark.parametrize(
    ("record", "evidence"),
    [
        (GuardRecord(), "were not compared"),
        (
            GuardRecord(
                "off", "Refused.", 0.8125, 0.1875, np.array([[0.25, 0.75], [np.nan, np.nan]])
            ),
            "agree at 0.81 (Cohen's kappa)",
        ),
    ],
)
def test_the_record_goes_through_h5ad(record, evidence, tmp_path):
    assert evidence in record.evidence
    uns = {"guard": record.to_dict()}
    ad.AnnData(np.ones((2, 1)), uns=uns).write_h5ad(tmp_path / "a.h5ad")
    back = GuardRecord.from_dict(ad.read_h5ad(tmp_path / "a.h5ad").uns["guard"])
    np.testing.assert_equal(vars(back), vars(record))
