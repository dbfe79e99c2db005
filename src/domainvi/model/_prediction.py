"""Predicted phenotypes, with probabilities that are calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi._compat import SETUP_ARGS_KEY

from ._codes import codes
from ._target_prediction import TargetPredictionMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from ._inference import RowOutputs


class PredictionMixin(TargetPredictionMixin):
    """``predict`` on the outputs of the network and of its linear members."""

    def _probabilities(self, out: RowOutputs, calibrated: bool = True) -> NDArray[np.float64]:
        """Class probabilities in the order of the codes, shape ``(n_rows, n_classes)``."""
        if calibrated and self.calibration_ is not None and len(out.logits):
            return self.calibration_.apply(out.logits)
        p = np.exp(out.logits.astype(np.float64))
        return p / p.sum(axis=1, keepdims=True)

    def predict(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        calibrated: bool = True,
        target: str | None = None,
    ) -> NDArray[np.str_] | NDArray[np.float32] | pd.DataFrame:
        """Predict the main phenotype, or another.

        Parameters
        ----------
        adata
            Rows to predict; the model's own data if ``None``. Genes are matched by name. A cohort
            that was not in training is standardised by its own rows when it has enough of them.
            A model of several modalities takes a MuData with any of them, or an AnnData of one;
            rows that have none of them are left out.
        indices
            Row numbers or a mask; all rows if ``None``.
        soft
            Return probabilities.
        batch_size
            Rows at a time.
        calibrated
            Whether probabilities are calibrated.
        target
            One of the ``target_keys`` of the setup; the main phenotype if ``None``.

        Returns
        -------
        One class name a row, or with ``soft`` a frame of probabilities, rows by ``obs_names`` and
        columns by class in the order of the reference. Labelled rows are predicted as well. For a
        numeric target the values, or with ``soft`` a frame with ``value`` and ``standard_error``,
        both in its unit.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If ``target`` is not a target of the model.
        GeneMatchError
            If too few genes match.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> len(model.predict())
        200
        >>> model.predict(soft=True).shape == (200, len(model.classes))
        True
        """
        work = self._validate_anndata(adata)
        rows = self._row_numbers(work, indices)
        main = self.registry_[SETUP_ARGS_KEY]["labels_key"]
        target = main if target is None else target
        if target != main:
            self.module.target_heads.index(target)
        out = self._outputs(work, rows, batch_size, centre=False)
        if target != main:
            domain, names = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), work.obs_names[rows]
            return self._predict_target(
                target, out, domain[rows], names, soft=soft, calibrated=calibrated
            )
        p = self._probabilities(out, calibrated)
        if not soft:
            return np.asarray(self.classes)[p.argmax(axis=1)]
        frame = pd.DataFrame(p, index=work.obs_names[rows], columns=self.classes)
        return frame[self.class_order_]
