"""The guard: a record that survives h5ad."""

import anndata as ad
import numpy as np
import pytest

from domainvi.trust import GuardRecord


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
