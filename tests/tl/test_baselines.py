"""Classical methods against what they must do on data with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from domainvi.data import log_normalize, prepare_values, variable_genes
from domainvi.tl._baselines import (
    BASELINES,
    TransferData,
    _coral,
    scale_by_domain,
    scale_by_source,
)


def shifted(
    seed: int = 0, n_rows: int = 120, shift: float = 6.0
) -> tuple[TransferData, np.ndarray]:
    """Two cohorts of three classes; the second is moved, and its labels are hidden."""
    rng = np.random.default_rng(0)
    truth = np.arange(n_rows) % 3
    domain = np.repeat([0, 1], n_rows // 2)
    x = rng.normal(size=(n_rows, 30))
    x[np.arange(n_rows), truth] += 6
    x += shift * domain[:, None] * rng.normal(size=30)
    label = np.where(domain == 0, truth, -1)
    return TransferData(x, domain, label, domain == 0, 3), truth


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in {"majority"}])
def test_labels_reach_a_cohort_without_shift(name: str) -> None:
    data, truth = shifted(shift=0.0)
    probabilities = BASELINES[name](data, seed=1)
    assert probabilities.shape == (120, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.mean(probabilities.argmax(axis=1)[60:] == truth[60:]) > 0.9


def test_scaling_within_cohorts_undoes_a_shift_that_source_scaling_keeps() -> None:
    data, truth = shifted()
    accuracy = {
        name: np.mean(BASELINES[name](data).argmax(axis=1)[60:] == truth[60:])
        for name in ("lr_source", "lr_z")
    }
    assert accuracy["lr_z"] > 0.95
    assert accuracy["lr_source"] < 0.8


def test_scales_have_mean_zero_and_leave_constant_genes() -> None:
    data, _ = shifted()
    data.x[:, 4] = 3.0
    z = scale_by_domain(data).x
    for rows in (data.domain == 0, data.domain == 1):
        np.testing.assert_allclose(z[rows].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(z[:, 4], 0)
    by_source = scale_by_source(data).x
    np.testing.assert_allclose(by_source[data.is_source].std(axis=0).max(), 1)
    assert np.abs(by_source[~data.is_source].mean(axis=0)).max() > 1


def test_coral_gives_the_source_the_covariance_of_the_target() -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(size=(4000, 3)) * [30, 50, 80]
    target = rng.normal(size=(4000, 3)) @ np.diag([90.0, 20.0, 40.0])
    moved = _coral(source, target)
    np.testing.assert_allclose(np.cov(moved, rowvar=False), np.cov(target, rowvar=False), rtol=5e-3)


def test_class_without_a_label_gets_no_probability() -> None:
    data, _ = shifted()
    label = np.where(data.label == 2, -1, data.label)
    hidden = TransferData(data.x, data.domain, label, data.is_source, 3)
    for name in ("lr_z", "linear_svm", "majority"):
        probabilities = BASELINES[name](hidden)
        np.testing.assert_array_equal(probabilities[:, 2], 0)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_single_class_is_certain() -> None:
    data, _ = shifted()
    only = TransferData(data.x, data.domain, np.where(data.label == 1, 1, -1), data.is_source, 3)
    np.testing.assert_array_equal(BASELINES["lr_z"](only), np.tile([0.0, 1.0, 0.0], (120, 1)))


def test_majority_is_the_frequency_of_the_labels() -> None:
    data, _ = shifted()
    data.label[:5] = -1
    known = data.label[data.label >= 0]
    expected = np.bincount(known, minlength=3) / known.size
    np.testing.assert_allclose(BASELINES["majority"](data)[0], expected)


def test_same_seed_same_forest() -> None:
    data, _ = shifted(shift=0.0)
    first, again = (BASELINES["random_forest"](data, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(("total", "size"), [(200, 1e4), (10**6, 1e6)])
def test_library_sizes_become_equal(total: int, size: float) -> None:
    counts = np.random.default_rng(0).multinomial(total, np.full(20, 0.05), size=8).astype(float)
    values = log_normalize(counts)
    np.testing.assert_allclose(np.expm1(values).sum(axis=1), size)
    sparse = log_normalize(sp.csr_matrix(counts))
    assert sp.issparse(sparse)
    np.testing.assert_allclose(sparse.toarray(), values)


def test_genes_that_differ_between_cohorts_only_are_not_chosen() -> None:
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1], 50)
    x = rng.normal(scale=0.1, size=(100, 10))
    x[:, 2] += 50 * domain
    x[:, [5, 7]] *= 30
    np.testing.assert_array_equal(variable_genes(x, domain, 2), [5, 7])
    np.testing.assert_array_equal(variable_genes(sp.csr_matrix(x), domain, 2), [5, 7])
    np.testing.assert_array_equal(variable_genes(x, domain, 99), np.arange(10))


def test_prepared_values_are_dense_and_narrow() -> None:
    counts = sp.random(40, 2030, density=0.4, random_state=0, format="csr")
    counts.data = np.ceil(counts.data * 9)
    domain = np.repeat([0, 1], 20)
    prepared = prepare_values(counts, domain, counts=True)
    assert isinstance(prepared, np.ndarray)
    assert prepared.shape == (40, 2000)
    same = prepare_values(counts.toarray(), domain, counts=True)
    np.testing.assert_allclose(prepared, same)
