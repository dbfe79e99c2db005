"""Whether subspaces are independent: real rows against rows put together anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from domainvi.metrics._factor_probe import FactorProbe, interval, p_value_of, permute_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from domainvi.metrics._check import FloatArray


def joint_probe(
    blocks: Sequence[npt.NDArray[np.floating]],
    strata: npt.ArrayLike | None = None,
    *,
    n_splits: int = 5,
    n_permutations: int = 20,
    seed: int = 0,
) -> FactorProbe:
    """AUC of a random forest that tells rows of blocks from rows with shuffled blocks.

    Parameters
    ----------
    blocks
        Latents of each subspace, shape (rows, dimensions).
    strata
        Codes, shape (rows,): shuffling is within these.
    n_splits, n_permutations, seed
        As for `factor_probe`. Under permutation both sides are shuffled, so that chance is 0.5.

    Returns
    -------
    FactorProbe
        0.5 when the subspaces are independent within strata.

    Examples
    --------
    >>> import numpy as np
    >>> from domainvi.metrics import joint_probe
    >>> z = np.random.default_rng(0).normal(size=(100, 2))
    >>> joint_probe([z, z], n_permutations=0).score > 0.8  # one subspace is a copy of the other
    True
    """
    n = len(blocks[0])
    s = np.zeros(n, dtype=np.int64) if strata is None else np.asarray(strata)
    rng = np.random.default_rng(seed)

    whole = np.hstack(list(blocks)).astype(np.float64)

    def shuffle(x: FloatArray, rows: npt.NDArray[np.int64]) -> FloatArray:
        ends = np.cumsum([b.shape[1] for b in blocks])[:-1]
        parts = np.split(x[rows], ends, axis=1)
        return np.hstack(
            [part[permute_within(np.arange(len(rows)), s[rows], rng)] for part in parts]
        )

    def auc(x: FloatArray) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        truth, found = [], []
        folds = KFold(n_splits, shuffle=True, random_state=seed)
        for train, test in folds.split(x):
            # Shuffled inside a fold: a value on both sides would give the other row away. Margins
            # are the same on both sides, so that boosted trees would find nothing to split by.
            model = RandomForestClassifier(100, min_samples_leaf=3, random_state=seed)
            model.fit(np.vstack([x[train], shuffle(x, train)]), np.repeat([1, 0], len(train)))
            both = np.vstack([x[test], shuffle(x, test)])
            truth.append(np.repeat([1, 0], len(test)))
            found.append(model.predict_proba(both)[:, 1])
        return np.concatenate(truth), np.concatenate(found)

    y, p = auc(whole)
    score = float(roc_auc_score(y, p))
    every = np.arange(n)
    null = [float(roc_auc_score(*auc(shuffle(whole, every)))) for _ in range(n_permutations)]
    low, high = interval(roc_auc_score, y, p, rng)
    chance = 0.5 if null else float("nan")
    return FactorProbe(score, chance, p_value_of(score, null), low, high, n)
