"""Expression taken apart: variance shares, parts set to a level, parts exchanged between rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi.errors import InputError
from domainvi.train import log_rows

from ._encode import encoded_batches, position_of, registered_values
from ._factors import FACTORS_KEY
from ._metadata import metadata_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._module import DisentangledVAE

REFERENCE = "reference"


@torch.inference_mode()
def batches_of_parts(
    module: DisentangledVAE,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64] | None,
    batch_size: int | None,
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the part of each subspace in the scores of the genes, at the posterior means."""
    for tensors, encoded in encoded_batches(module, prepared, rows, batch_size):
        z = encoded["qz"].loc
        metadata = module.metadata(tensors[FACTORS_KEY], module.factor_scores(z))
        yield module.contributions(z, metadata)


def expected(module: DisentangledVAE, parts: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    """Mean of the expression values whose scores have these parts."""
    n = len(next(iter(parts.values())))
    return module.distribution(parts, module.input_scale.target_sum.expand(n, 1)).mean.cpu().numpy()


@torch.inference_mode()
def variance_shares(
    module: DisentangledVAE, prepared: PreparedAnnData, genes: Sequence[str], batch_size: int | None
) -> pd.DataFrame:
    """Share of each subspace in the variance of the scores of each gene."""
    sums = {s: np.zeros((2, len(genes))) for s in module.sizes}
    for parts in batches_of_parts(module, prepared, None, batch_size):
        for name, part in parts.items():
            c = part.double().cpu().numpy()
            sums[name] += np.stack([c.sum(axis=0), np.square(c).sum(axis=0)])
    n = prepared.n_obs
    variance = {s: np.maximum(b / n - np.square(a / n), 0) for s, (a, b) in sums.items()}
    table = pd.DataFrame(variance, index=genes)
    total = table.sum(axis=1)
    return table.div(total.where(total > 0), axis=0)


@torch.inference_mode()
def expression_at(
    module: DisentangledVAE,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    fixed: Mapping[str, torch.Tensor],
    batch_size: int | None,
) -> NDArray[np.float32]:
    """Expect expression with the parts of some groups set to one metadata row for all rows."""
    out = []
    for parts in batches_of_parts(module, prepared, rows, batch_size):
        for group, m in fixed.items():
            z = module.priors[group](m)
            parts[group] = module.loadings[group](z, m).expand_as(parts[group])
        out.append(expected(module, parts))
    return np.concatenate(out)


@torch.inference_mode()
def swapped_expression(
    module: DisentangledVAE,
    prepared: PreparedAnnData,
    donors: NDArray[np.int64],
    group: str,
    batch_size: int | None = None,
) -> NDArray[np.float32]:
    """Expect expression with the part of one subspace taken from a donor of each row."""
    if len(donors) != prepared.n_obs:
        msg = f"partners has {len(donors)} entries; there are {prepared.n_obs} rows."
        raise InputError(msg)
    out = []
    own, given = (batches_of_parts(module, prepared, r, batch_size) for r in (None, donors))
    for parts, lent in zip(own, given, strict=True):
        out.append(expected(module, {**parts, group: lent[group]}))
    return np.concatenate(out)


def metadata_at(module: DisentangledVAE, group: str, level: str) -> torch.Tensor:
    """Metadata of a group with one factor at a level and the others at their average."""
    if group not in module.groups:
        msg = f"There is no group {group!r}. The groups are {', '.join(module.groups)}."
        raise InputError(msg)
    means = module.factor_mean.split(list(module.widths.values()))
    m = means[module.groups.index(group)][None].clone()
    if level == REFERENCE:
        return m
    mine = [f for f in module.factors if f.group == group]
    homes = [f for f in mine if str(level) in f.levels]
    if len(homes) != 1:
        known = [f"{name} ({f.name})" for f in mine for name in f.levels]
        msg = (
            f"{group}={level!r} names {len(homes)} levels; expected {REFERENCE!r} or one of "
            f"{', '.join(known)}."
        )
        raise InputError(msg)
    at = metadata_columns(module.factors, group)[homes[0].name]
    m[:, at.start : at.stop] = 0.0
    m[:, at[homes[0].levels.index(str(level))]] = 1.0
    return m


def swap_scores(
    module: DisentangledVAE, prepared: PreparedAnnData, keep: str, flip: str, seed: int
) -> dict[str, float]:
    """Exchange the part of the group of ``flip`` and ask fixed classifiers what they see."""
    k, f = position_of(module, keep), position_of(module, flip)
    kept, flipped = module.factors[k], module.factors[f]
    if kept.group == flipped.group or kept.is_numeric or flipped.is_numeric:
        msg = (
            f"keep={keep!r} and flip={flip!r} must be factors with levels of two groups; they "
            f"are of {kept.group!r} and {flipped.group!r}."
        )
        raise InputError(msg)
    values = registered_values(prepared)
    label, level = kept.codes(values[:, k]), flipped.codes(values[:, f])
    rows = np.flatnonzero((label >= 0) & (level >= 0))
    partner = np.arange(prepared.n_obs)
    partner[rows] = other_level(rows, level[rows], np.random.default_rng(seed))
    measured = log_rows(module, prepared, rows)
    plain, swapped = (
        swapped_expression(module, prepared, p, flipped.group)[rows]
        for p in (np.arange(prepared.n_obs), partner)
    )
    if module.input_scale.counts:
        # The classifiers see measured values on this scale.
        plain, swapped = np.log1p(plain), np.log1p(swapped)
    of_label, of_level = (fit_classifier(measured, y[rows]) for y in (label, level))
    before, after = (
        float(balanced_accuracy_score(label[rows], of_label.predict(x))) for x in (plain, swapped)
    )
    return {
        "keep_before": before,
        "keep_after": after,
        "keep_change": after - before,
        "flip_before": float(balanced_accuracy_score(level[rows], of_level.predict(plain))),
        "flipped": float(np.mean(of_level.predict(swapped) == level[partner[rows]])),
    }


def other_level(
    rows: NDArray[np.int64], level: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """For each row, a random row of another level, every other level as likely."""
    out = np.empty_like(rows)
    levels = np.unique(level)
    for own in levels:
        mine = np.flatnonzero(level == own)
        wanted = rng.choice(levels[levels != own], size=len(mine))
        out[mine] = [rng.choice(rows[level == w]) for w in wanted]
    return out


def fit_classifier(x: NDArray[np.float32], y: NDArray[np.int64]) -> Any:
    """Logistic regression on standardised log values, strongly regularised."""
    model = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
    return make_pipeline(StandardScaler(), model).fit(x, y)
