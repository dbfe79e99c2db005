"""Predictions of the further phenotypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from domainvi.module import TargetScores

from ._inference import InferenceMixin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.module import TargetHeads

    from ._inference import RowOutputs


class TargetPredictionMixin(InferenceMixin):
    """Probabilities and values of the further phenotypes from the outputs of rows."""

    def _heads(self, out: RowOutputs) -> tuple[TargetHeads, TargetScores]:
        heads = self.module.target_heads
        device = heads.offset.device
        arrays = (out.target_network, out.target_linear)
        return heads, TargetScores(*(torch.from_numpy(a).to(device) for a in arrays))

    @torch.inference_mode()
    def _target_probabilities(
        self, i: int, out: RowOutputs, domain: NDArray[np.int64], calibrated: bool = True
    ) -> NDArray[np.float64]:
        """Class probabilities of target ``i`` in the order of the codes."""
        heads, scores = self._heads(out)
        rows = torch.from_numpy(domain).to(heads.offset.device)
        log_p = heads.log_probabilities(i, scores, rows, calibrated=calibrated)
        p = np.exp(log_p.cpu().numpy().astype(np.float64))
        return p / p.sum(axis=1, keepdims=True)

    @torch.inference_mode()
    def _target_numbers(
        self, i: int, out: RowOutputs, domain: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Values of target ``i`` and their standard errors."""
        heads, scores = self._heads(out)
        rows = torch.from_numpy(domain).to(heads.offset.device)
        value, error = heads.values(i, scores, rows)
        return value.cpu().numpy(), error.cpu().numpy()

    def _predict_target(
        self,
        key: str,
        out: RowOutputs,
        domain: NDArray[np.int64],
        index: pd.Index,
        *,
        soft: bool,
        calibrated: bool,
    ) -> NDArray[np.str_] | NDArray[np.float32] | pd.DataFrame:
        i = self.module.target_heads.index(key)
        target = self.targets[i]
        if target.is_numeric:
            value, error = self._target_numbers(i, out, domain)
            if not soft:
                return value
            return pd.DataFrame({"value": value, "standard_error": error}, index=index)
        p = self._target_probabilities(i, out, domain, calibrated)
        if not soft:
            return np.asarray(target.classes)[p.argmax(axis=1)]
        frame = pd.DataFrame(p, index=index, columns=list(target.classes))
        return frame[self.target_order_[key]]
