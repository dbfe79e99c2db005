"""The bundled cohort is the one that is described."""

import time
from importlib.resources import files

import numpy as np
import pytest
from anndata import AnnData
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from domainvi.data import check_likelihood, check_setup, cohorts, describe_matrix


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return cohorts()


def test_shape_and_columns(adata: AnnData) -> None:
    assert adata.shape == (391, 1500)
    assert adata.X.dtype == np.float32
    assert adata.var_names.is_unique
    assert adata.obs_names.is_unique
    assert list(adata.obs.columns) == [
        "cohort",
        "cancer_type",
        "tcga_study",
        "sex",
        "age",
        "patient",
        "patient_in_both",
    ]


def test_rows_by_platform_and_class(adata: AnnData) -> None:
    table = adata.obs.groupby(["cohort", "cancer_type"], observed=True).size()
    assert table.to_dict() == {
        ("agilent", "CRC"): 69,
        ("agilent", "KIRC"): 72,
        ("agilent", "KIRP"): 16,
        ("agilent", "LUAD"): 32,
        ("rnaseq", "CRC"): 40,
        ("rnaseq", "KIRC"): 72,
        ("rnaseq", "KIRP"): 32,
        ("rnaseq", "LUAD"): 58,
    }


def test_crc_is_the_two_colorectal_studies(adata: AnnData) -> None:
    study = adata.obs["tcga_study"].astype(str)
    merged = study.replace({"COAD": "CRC", "READ": "CRC"})
    assert (merged == adata.obs["cancer_type"].astype(str)).all()
    assert set(study) == {"COAD", "READ", "KIRC", "KIRP", "LUAD"}


def test_phenotypes_of_patients(adata: AnnData) -> None:
    assert set(adata.obs["sex"]) == {"female", "male"}
    assert adata.obs["age"].between(18, 90).all()
    in_both = adata.obs[adata.obs["patient_in_both"]]
    assert in_both["patient"].nunique() == 10
    assert (in_both.groupby("patient", observed=True)["cohort"].nunique() == 2).all()


@pytest.mark.parametrize(
    ("cohort", "mean", "sd", "lowest", "highest"),
    [("rnaseq", 7.8497, 3.1606, 0.0, 19.23), ("agilent", 0.1322, 1.9303, -7.845, 11.572)],
)
def test_values_of_each_platform(
    adata: AnnData, cohort: str, mean: float, sd: float, lowest: float, highest: float
) -> None:
    values = adata[adata.obs["cohort"] == cohort].X.astype(float)
    found = values.mean(), values.std(), values.min(), values.max()
    assert found == pytest.approx((mean, sd, lowest, highest), abs=1e-3)


def test_the_platform_shift_is_real(adata: AnnData) -> None:
    """A classifier of RNA-seq fails on arrays: the reason why this cohort is bundled."""
    rnaseq = (adata.obs["cohort"] == "rnaseq").to_numpy()
    label = adata.obs["cancer_type"].to_numpy(dtype=str)
    scaler = StandardScaler().fit(adata.X[rnaseq])
    x, x_new = scaler.transform(adata.X[rnaseq]), scaler.transform(adata.X[~rnaseq])
    model = LogisticRegression(C=0.01, class_weight="balanced").fit(x, label[rnaseq])
    assert model.score(x, label[rnaseq]) > 0.98
    assert model.score(x_new, label[~rnaseq]) < 0.3


def test_it_passes_its_own_checks(adata: AnnData) -> None:
    check_setup(
        adata,
        batch_keys=["cohort"],
        labels_key="cancer_type",
        target_keys=["sex", "age"],
    )
    assert check_likelihood(describe_matrix(adata.X), "auto") == "normal"


def test_the_source_is_named(adata: AnnData) -> None:
    provenance = adata.uns["provenance"]
    assert "TCGA level-3 open access" in provenance["licence"]
    assert "NOT counts" in provenance["units"]
    assert {"study", "source_repo", "genes", "rnaseq_units"} <= set(provenance)


def test_the_file_is_small_and_quick() -> None:
    size = len((files("domainvi.data") / "files" / "cohorts.h5ad").read_bytes())
    assert size < 2_000_000
    start = time.perf_counter()
    cohorts()
    assert time.perf_counter() - start < 5


def test_each_call_returns_an_object_of_its_own(adata: AnnData) -> None:
    other = cohorts()
    other.X[:] = 0
    assert cohorts().X.any()
    assert adata.X.any()
