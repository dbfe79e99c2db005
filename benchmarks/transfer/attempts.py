"""Attempts at fewer transfers that lose to logistic regression, on the linear part alone.

Run as ``python -m benchmarks.transfer.attempts --data DIR``; adds to ``attempts.csv`` what it lacks
and writes ``attempts.md``. A loss is a macro-F1 more than 2 points below that of ``lr_z``.

``baseline 20 %``, ``40 %``, ``60 %``
    the source-only baseline has at least this share of the blend;
``equal votes``
    where labels of the target set the weights of the members, all members and the baseline weigh
    the same instead;
``half class prior``, ``no class prior``
    the correction for the estimated class prior has the exponent 0.5 or 0;
``baseline 30 %, half class prior``
    both;
``lr_z without 10 %``
    no attempt but the noise of the yardstick: ``lr_z`` again, with a tenth of each source class
    left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import softmax

from benchmarks.transfer.resampling import baseline, training_rows, values
from benchmarks.transfer.stress import STRESSES
from benchmarks.transfer.tables import to_markdown
from benchmarks.transfer.tasks import select_tasks
from benchmarks.transfer.units import Unit, build_unit
from domainvi.linear import LinearMember, TrainingRows, fit_linear_ensemble, standardise
from domainvi.linear._cotraining import PRIOR_SHARPNESS, sharpen
from domainvi.metrics import macro_f1

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

HERE = Path(__file__).parent
BUDGETS = ("0", "1", "2", "5", "10", "20")
SEEDS = (0, 1, 2)
LOSS = 0.02
KEYS = ["task", "stress", "budget", "seed"]


def attempts(rows: TrainingRows) -> dict[str, NDArray[np.float64]]:
    """Class probabilities of all rows by attempt."""
    fit = fit_linear_ensemble(rows)
    baseline = _probs(rows, fit.baseline)
    members = np.stack([_probs(rows, m) for m in fit.members.values()])
    weights = np.array([m.weight for m in fit.members.values()])
    vote = sharpen(np.tensordot(weights / weights.sum(), members, 1), fit.sharpness)
    equal = vote
    if fit.agreement is None and rows.partly_labelled.any():
        equal = sharpen(np.concatenate([members, baseline[None]]).mean(axis=0), PRIOR_SHARPNESS)
    log_prior = fit.log_prior[rows.domain]

    def blend(votes: NDArray[np.float64], least: float, power: float) -> NDArray[np.float64]:
        share = max(least, fit.baseline_share)
        return ((1 - share) * votes + share * baseline) * np.exp(power * log_prior)

    return {
        "as it is": blend(vote, 0, 1),
        "baseline 20 %": blend(vote, 0.2, 1),
        "baseline 40 %": blend(vote, 0.4, 1),
        "baseline 60 %": blend(vote, 0.6, 1),
        "equal votes": blend(equal, 0, 1),
        "half class prior": blend(vote, 0, 0.5),
        "no class prior": blend(vote, 0, 0),
        "baseline 30 %, half class prior": blend(vote, 0.3, 0.5),
    }


def _probs(rows: TrainingRows, member: LinearMember) -> NDArray[np.float64]:
    s = standardise(rows.x, rows.domain, member.statistics, 1.0)
    return softmax(s @ member.coef + member.intercept, axis=1)


def thinned(unit: Unit, seed: int) -> NDArray[np.int64]:
    """Labels with a tenth of each source class hidden."""
    rng, label = np.random.default_rng(seed), unit.label.copy()
    for code in np.unique(label[unit.is_source & (label >= 0)]):
        members = rng.permutation(np.flatnonzero(unit.is_source & (label == code)))
        label[members[: len(members) // 10]] = -1
    return label


def measure(unit: Unit, seed: int) -> dict[str, float]:
    """Macro-F1 of all attempts and of the yardstick on one unit."""
    rows = training_rows(unit, values(unit))
    found = attempts(rows)
    found["lr_z"] = baseline(unit, unit.label)
    found["lr_z without 10 %"] = baseline(unit, thinned(unit, seed))
    truth = unit.truth[unit.scored]
    return {k: macro_f1(truth, p[unit.scored].argmax(axis=1)) for k, p in found.items()}


def settings() -> Iterator[tuple[str, str, int]]:
    """Stress, budget and seed of each run on a task."""
    for seed in SEEDS:
        for budget in BUDGETS:
            yield "plain", budget, seed
    for stress in STRESSES[1:]:
        yield stress, "0", 0
    yield "label_shift", "5", 0


def summarise(table: pd.DataFrame) -> str:
    """Means, losses and worst draws as Markdown, plain tasks by budget and the stresses."""
    wide = table.pivot_table(index=KEYS, columns="variant", values="macro_f1", sort=False)
    wide = wide[list(table["variant"].unique())]
    plain = wide.xs("plain", level="stress")
    spread = plain.groupby(["budget", "task"], sort=False).agg(lambda f1: f1.min() - f1.mean())
    worst = spread.groupby("budget", sort=False).min()
    setting = [b if s == "plain" else f"{s} {b}" for _, s, b, _ in wide.index]
    losses = wide.lt(wide["lr_z"] - LOSS, axis=0).astype(float)
    parts = [
        _section("Macro-F1", wide.groupby(setting, sort=False).mean()),
        _section("Losses, % of pairs", losses.groupby(setting, sort=False).mean()),
        _section("Worst draw less the mean, on the worst task, points", worst),
    ]
    return "\n".join(parts)


def _section(title: str, by_setting: pd.DataFrame) -> str:
    return f"### {title}\n\n{to_markdown(by_setting.T.rename_axis('attempt'))}"


def main() -> None:
    """Measure what the table lacks and write both files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer.attempts")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    path = HERE / "attempts.csv"
    old = pd.read_csv(path, dtype={"budget": str}) if path.exists() else None
    done = set() if old is None else set(old[KEYS].itertuples(index=False, name=None))
    for task in select_tasks(arguments.data, ["all"]):
        out = []
        for stress, budget, seed in settings():
            key = dict(zip(KEYS, (task.name, stress, budget, seed), strict=True))
            if tuple(key.values()) in done:
                continue
            scores = measure(build_unit(arguments.data, task, stress, budget, seed), seed)
            out += [key | {"variant": k, "macro_f1": round(v, 4)} for k, v in scores.items()]
        pd.DataFrame(out).to_csv(path, mode="a", header=not path.exists(), index=False)
    table = pd.read_csv(path, dtype={"budget": str})
    (HERE / "attempts.md").write_text(summarise(table))


if __name__ == "__main__":
    main()
