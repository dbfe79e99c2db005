"""Bars for one class, a table for several, and the genes in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import domainvi as dv
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

GENES = pd.DataFrame(
    {"a": [4.0, 3.0, 1.0, -2.0], "b": [-1.0, 0.5, 2.0, 0.0], "c": [np.nan] * 4},
    index=["g1", "g2", "g3", "g4"],
)


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def rows(axes: Axes) -> list[str]:
    return [tick.get_text() for tick in axes.get_yticklabels()]


def test_one_class_gives_bars_from_the_top() -> None:
    axes = dv.pl.attribution(GENES, classes="a", n_top=4)
    assert rows(axes) == ["g1", "g2", "g3", "g4"]
    assert [bar.get_width() for bar in axes.patches] == [4, 3, 1, -2]
    assert axes.yaxis_inverted()
    assert axes.patches[0].get_facecolor() != axes.patches[3].get_facecolor()


def test_several_classes_give_a_table_of_shares() -> None:
    axes = dv.pl.attribution(GENES, n_top=2)
    assert rows(axes) == ["g1", "g2", "g3"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]
    shares = [[1, -0.5], [0.75, 0.25], [0.25, 1]]
    np.testing.assert_allclose(axes.images[0].get_array(), shares)


def test_own_axes_and_a_file(tmp_path: Path) -> None:
    _, ax = plt.subplots()
    assert dv.pl.attribution(GENES, classes=["b"], ax=ax, save=tmp_path / "b.png") is ax
    assert (tmp_path / "b.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["z"]}, "classes: z not in attributions. Use some of a, b, c"),
        ({"n_top": 0}, "n_top=0"),
        ({"classes": ["c"]}, "no values"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        dv.pl.attribution(GENES, **arguments)
