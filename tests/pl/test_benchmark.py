"""The benchmark's panels against a table whose means are round."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import InputError


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        ("cross_validation", "forest", None, 0.9),
        ("cross_validation", "forest", None, 1.0),
        ("cross_validation", "majority", None, 0.2),
        ("leave_one_domain_out", "forest", None, 0.6),
        ("leave_one_domain_out", "forest", None, 0.8),
        ("leave_one_domain_out", "majority", None, 0.4),
        ("label_budget", "forest", 0, 0.7),
        ("label_budget", "forest", 5, 0.8),
        ("label_budget", "forest", 5, 0.9),
        ("label_budget", "majority", 0, 0.3),
        ("label_budget", "majority", 5, 0.3),
    ]
    names = ["protocol", "method", "budget", "macro_f1"]
    return pd.DataFrame(rows, columns=names).astype({"budget": "Int64"})


def test_gap_between_random_folds_and_a_domain_left_out(table: pd.DataFrame) -> None:
    gap, _ = dv.pl.benchmark(table)
    assert [text.get_text() for text in gap.texts] == ["−0.25", "gap"]
    means = [c.get_offsets() for c in gap.collections if len(c.get_offsets()) == 1]
    np.testing.assert_allclose([m[0, 0] for m in means], [0.95, 0.7])
    single = [c.get_offsets()[:, 0] for c in gap.collections if len(c.get_offsets()) == 2]
    np.testing.assert_allclose(single, [[0.9, 1.0], [0.6, 0.8]])
    floor = next(line for line in gap.lines if line.get_linestyle() == ":")
    np.testing.assert_allclose(floor.get_xdata(), 0.3)
    legend = [text.get_text() for text in gap.get_legend().texts]
    assert legend == ["random cross-validation", "leave one domain out", "majority of the labels"]


def test_learning_curves(table: pd.DataFrame) -> None:
    _, curves = dv.pl.benchmark(table)
    np.testing.assert_allclose(curves.lines[0].get_ydata(), [0.7, 0.85])
    np.testing.assert_allclose(curves.lines[1].get_ydata(), [0.3, 0.3])
    assert [tick.get_text() for tick in curves.get_xticklabels()] == ["0", "5"]
    assert curves.get_ylabel() == "macro-F1"


@pytest.mark.parametrize(
    ("protocols", "n_gaps"),
    [(["cross_validation"], 0), (["cross_validation", "leave_one_domain_out"], 2)],
)
def test_one_panel_where_there_is_one(
    table: pd.DataFrame, protocols: list[str], n_gaps: int
) -> None:
    (panel,) = dv.pl.benchmark(table[table["protocol"].isin(protocols)])
    assert len(panel.texts) == n_gaps
    assert panel.get_xlabel() == "macro-F1"


def test_narrow_axes_of_ones_own_are_not_squeezed(table: pd.DataFrame) -> None:
    figure, own = plt.subplots(1, 2, figsize=(6.4, 3), layout="constrained")
    dv.pl.benchmark(table.astype({"budget": float}), ax=own)  # as read from a file
    figure.canvas.draw()  # a squeeze to nothing is a warning, and an error here
    gap, curves = own
    ends = [axes.get_legend().get_window_extent() for axes in own]
    assert ends[0].x1 < ends[1].x0
    assert min(axes.get_window_extent().width for axes in own) > 0.2 * figure.bbox.width
    assert [tick.get_text() for tick in curves.get_xticklabels()] == ["0", "5"]
    assert gap.get_xlabel() == "macro-F1"
    plt.close(figure)


def test_numbers_have_scores_of_their_own(table: pd.DataFrame) -> None:
    numbers = table.rename(columns={"macro_f1": "r2"}).assign(mae=3.0)
    assert dv.pl.benchmark(numbers)[0].get_xlabel() == "R²"
    assert dv.pl.benchmark(numbers, score="mae")[1].get_ylabel() == "mean absolute error"


def test_results_of_the_benchmark_itself_on_real_cohorts() -> None:
    table = dv.tl.benchmark(
        dv.data.cohorts(),
        batch_key="cohort",
        labels_key="cancer_type",
        protocol=("cross_validation", "leave_one_domain_out"),
        methods=["logistic_regression"],
        groups="patient",
    )
    (panel,) = dv.pl.benchmark(table)
    means = table.groupby(["method", "protocol"])["macro_f1"].mean()["logistic_regression"]
    gap = means["leave_one_domain_out"] - means["cross_validation"]
    assert gap < -0.5  # random folds promise what neither platform gets from the other
    assert panel.texts[0].get_text() == f"{gap:+.2f}".replace("-", "−")


def test_other_tables_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="score='auroc'"):
        dv.pl.benchmark(table, score="auroc")
    with pytest.raises(InputError, match="0 rows"):
        dv.pl.benchmark(table.iloc[:0])
