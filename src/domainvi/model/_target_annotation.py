"""Columns that a prediction becomes, of the main phenotype and of the further ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi import _keys
from domainvi._compat import SETUP_ARGS_KEY

from ._codes import codes
from ._judgement import unknown_spaces
from ._target_prediction import TargetPredictionMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._inference import RowOutputs

    Found = tuple[dict[str, Any], dict[str, NDArray], dict[str, list[str]]]


# Of rows that are called none of the classes.
GREY = "#d3d3d3"


class TargetAnnotationMixin(TargetPredictionMixin):
    """Gather what ``annotate`` writes of a phenotype."""

    def _class_columns(
        self,
        key: str,
        order: Sequence[str],
        p: NDArray[np.float64],
        known: NDArray[np.float64],
        unknown_alpha: float | None,
    ) -> dict[str, Any]:
        """Columns of obs for a categorical phenotype, classes in ``order``."""
        names = np.asarray(order, dtype=object)[p.argmax(axis=1)]
        categories = list(order)
        if unknown_alpha is not None:
            unlabelled = self.registry_[SETUP_ARGS_KEY]["unlabeled_category"]
            names = np.where(known <= unknown_alpha, unlabelled, names)
            categories.append(unlabelled)
        return {
            _keys.prediction(key): pd.Categorical(names, categories=categories),
            _keys.confidence(key): p.max(axis=1).astype(np.float32),
            _keys.unknown(key): known.astype(np.float32),
        }

    def _target_found(
        self, i: int, work: PreparedAnnData, out: RowOutputs, unknown_alpha: float | None
    ) -> Found:
        """Return what is written of target ``i`` to obs, obsm and uns."""
        target, domain = self.targets[i], codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        key = target.key
        if target.is_numeric:
            value, error = self._target_numbers(i, out, domain)
            return {_keys.prediction(key): value, _keys.confidence(key): error}, {}, {}
        order = self.target_order_[key]
        columns = [target.classes.index(c) for c in order]
        p = self._target_probabilities(i, out, domain)[:, columns]
        known = np.full(len(domain), np.nan)
        if key in self.target_unknown_:
            linear = out.target_linear[:, self.module.target_heads.block(i)]
            spaces = unknown_spaces(out)
            known = self.target_unknown_[key].p_value(spaces, linear, domain=domain)
        obs = self._class_columns(key, order, p, known, unknown_alpha)
        uns = {}
        if self.target_colors_[key]:
            palette = colors_of(self.target_colors_[key], unknown_alpha)
            uns[_keys.colors(_keys.prediction(key))] = palette
        return obs, {_keys.probability(key): p.astype(np.float32)}, uns


def colors_of(classes: Sequence[str], unknown_alpha: float | None) -> list[str]:
    """One colour for each category of a prediction.

    Examples
    --------
    >>> colors_of(["red", "blue"], 0.05)
    ['red', 'blue', '#d3d3d3']
    """
    return list(classes) if unknown_alpha is None else [*classes, GREY]
