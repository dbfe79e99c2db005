"""The swap test: exchange one part of the expression and see what classifiers make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from domainvi.errors import InputError
from domainvi.train import log_rows

from ._decomposition import DecompositionMixin

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


class SwapMixin(DecompositionMixin):
    """``swap_test``."""

    def swap_test(self, keep: str, flip: str, seed: int = 0) -> dict[str, float]:
        """Exchange the part of one group between rows and ask frozen classifiers what they see.

        Logistic regressions for both factors are fitted to the expression values as measured. They
        then judge the model's reconstruction of each row, once with its own part of the group of
        ``flip``, and once with that of a random row of another level.

        Parameters
        ----------
        keep
            Factor of another group, whose classifier should not notice.
        flip
            Factor of the exchanged group, whose classifier should call the level of the donor.
        seed
            Of the partners.

        Returns
        -------
        ``keep_before`` and ``keep_after``, balanced accuracy of ``keep`` on the reconstruction and
        after the exchange; ``keep_change``, their difference; ``flip_before``, balanced accuracy of
        ``flip`` on the reconstruction; ``flipped``, the share of rows called by the donor's level.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If a factor is not known or a number, or both are of one group.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> scores = model.swap_test(keep="tissue", flip="platform")
        >>> len(scores) > 0
        True
        """
        (k, kept), (f, flipped) = self._factor(keep), self._factor(flip)
        if kept.group == flipped.group or kept.is_numeric or flipped.is_numeric:
            msg = (
                f"keep={keep!r} and flip={flip!r} must be factors with levels of two groups; they "
                f"are of {kept.group!r} and {flipped.group!r}."
            )
            raise InputError(msg)
        work = self._decodable(None)
        values = self._values(work)
        label, level = kept.codes(values[:, k]), flipped.codes(values[:, f])
        rows = np.flatnonzero((label >= 0) & (level >= 0))
        partner = np.arange(work.n_obs)
        partner[rows] = other_level(rows, level[rows], np.random.default_rng(seed))
        measured = log_rows(self.module, work, rows)
        plain, swapped = (
            self._log_scale(self.get_swapped_expression(p, flipped.group).to_numpy()[rows])
            for p in (np.arange(work.n_obs), partner)
        )
        classifier = {name: frozen(measured, y[rows]) for name, y in (("k", label), ("f", level))}
        before, after = (
            float(balanced_accuracy_score(label[rows], classifier["k"].predict(x)))
            for x in (plain, swapped)
        )
        return {
            "keep_before": before,
            "keep_after": after,
            "keep_change": after - before,
            "flip_before": float(
                balanced_accuracy_score(level[rows], classifier["f"].predict(plain))
            ),
            "flipped": float(np.mean(classifier["f"].predict(swapped) == level[partner[rows]])),
        }

    def _log_scale(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring decoded values to the scale on which the classifiers saw the measured ones."""
        return np.log1p(x) if self.module.counts else x


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


def frozen(x: NDArray[np.float32], y: NDArray[np.int64]) -> Any:
    """Logistic regression on standardised log values, strongly regularised."""
    model = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
    return make_pipeline(StandardScaler(), model).fit(x, y)
