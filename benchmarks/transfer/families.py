"""Choose between methods without letting the choice see what it is judged by.

A recipe that is picked because it did best on some tasks looks better on them than it is. So each
family of tasks is left out in turn: the method is picked on the other families and its score
taken on the one left out. The mean of those scores is what a user may expect; the mean of the
method that wins over all families stands beside it, and the gap is the optimism.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Choice:
    """What choosing among some methods is worth.

    Attributes
    ----------
    left_out
        For each family the method that was picked on the others, and its score here.
    left_out_mean
        Mean of those scores: the headline.
    in_sample
        The method that is best over all families.
    in_sample_mean
        Its mean over families, which is optimistic.
    """

    left_out: pd.DataFrame
    left_out_mean: float
    in_sample: str
    in_sample_mean: float


def family_means(table: pd.DataFrame, score: str = "macro_f1") -> pd.DataFrame:
    """Average over seeds, then budgets, then tasks, so that each family weighs the same.

    Parameters
    ----------
    table
        Rows of ``results.csv``.
    score
        Column to average.

    Returns
    -------
    One row for each family and one column for each method. Tasks that some method lacks are left
    out for all.
    """
    keys = ["family", "task"]
    if "budget" in table:
        keys.append("budget")
    cells = table.pivot_table(index=keys, columns="method", values=score, aggfunc="mean")
    return cells.dropna().groupby(["family", "task"]).mean().groupby("family").mean()


def choose(
    table: pd.DataFrame, candidates: Sequence[str] | None = None, score: str = "macro_f1"
) -> Choice:
    """Pick the best of several methods with whole families left out.

    Parameters
    ----------
    table
        Rows of ``results.csv``, of one stress and of the budgets that the choice is for.
    candidates
        Methods to choose from; all of the table if None.
    score
        Column to maximise.

    Raises
    ------
    ValueError
        If there are fewer than two families that every candidate was run on.
    """
    if candidates is not None:
        table = table[table["method"].isin(candidates)]
    means = family_means(table, score)
    if len(means) < 2:
        msg = f"{len(means)} families were run with every candidate; expected at least 2"
        raise ValueError(msg)
    picked = pd.Series(
        {family: str(means.drop(index=family).mean().idxmax()) for family in means.index}
    )
    figures = [float(means.loc[family, method]) for family, method in picked.items()]
    left_out = pd.DataFrame({"method": picked, score: figures}).rename_axis("family")
    best = str(means.mean().idxmax())
    return Choice(left_out, float(left_out[score].mean()), best, float(means[best].mean()))
