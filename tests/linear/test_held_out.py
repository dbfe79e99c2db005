"""What linear members say of labelled rows that they were not fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domainvi.linear import TrainingRows, fit_linear_ensemble

Planted = "Callable[..., tuple[TrainingRows, np.ndarray]]"


@pytest.mark.parametrize("shown", [0, 5])
def test_labelled_rows_have_probabilities(planted: Planted, shown: int) -> None:
    rows, _ = planted(shown)
    found = fit_linear_ensemble(rows).held_out
    assert np.isnan(found[~rows.labelled]).all()
    np.testing.assert_allclose(found[rows.labelled].sum(axis=1), 1.0)
    right = found[rows.labelled].argmax(axis=1) == rows.label[rows.labelled]
    assert right.mean() > 0.9


def test_labels_without_meaning_are_not_known() -> None:
    """Members fitted to these labels know them by heart, also by the genes that they weigh."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 60)
    x = rng.normal(size=(120, 400)).astype(np.float32)
    fit = fit_linear_ensemble(TrainingRows(x, np.zeros(120, dtype=int), label, np.array([True]), 2))
    assert (fit.probs.argmax(axis=1) == label).mean() > 0.95
    assert abs((fit.held_out.argmax(axis=1) == label).mean() - 0.5) < 0.15


def test_few_labels_are_not_held_out(planted: Planted) -> None:
    rows, _ = planted()
    label = np.full_like(rows.label, -1)
    some = np.flatnonzero(rows.labelled)[:9]
    label[some] = rows.label[some]
    assert np.isnan(fit_linear_ensemble(replace(rows, label=label)).held_out).all()
