"""What methods that read rows of a trained model share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from domainvi.errors import InputError, NotTrainedError

from ._prepared import PreparedDataMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData


class RowsMixin(PreparedDataMixin):
    """Checks before rows are read."""

    def _check_trained(self) -> None:
        if not self.is_trained_:
            msg = "The model is not trained. Call model.train() first."
            raise NotTrainedError(msg)

    def _check_genes(self, work: PreparedAnnData, method: str) -> None:
        """Refuse rows that lack genes of the model, to methods that would take zeros for values."""
        if missing := self._n_missing_genes(work):
            msg = (
                f"The data lack {missing} of {len(work.gene_mask)} genes of the model, and "
                f"{method} needs all. Add them, or use predict, annotate or "
                "get_latent_representation, which mask missing genes."
            )
            raise InputError(msg)

    def _n_missing_genes(self, work: PreparedAnnData) -> int:
        return int((~work.gene_mask).sum())

    def _row_numbers(
        self, work: PreparedAnnData, indices: Sequence | NDArray | None
    ) -> NDArray[np.int64]:
        if indices is None:
            return np.arange(work.n_obs)
        rows = np.asarray(indices)
        if rows.dtype == bool and rows.ndim == 1:
            if len(rows) != work.n_obs:
                msg = f"indices is a mask of length {len(rows)}, but there are {work.n_obs} rows."
                raise InputError(msg)
            return np.flatnonzero(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            msg = (
                f"indices holds {rows.dtype} values in {rows.ndim} dimensions; expected a list of "
                "row numbers, or a mask of booleans."
            )
            raise InputError(msg)
        rows = rows.astype(np.int64)
        if rows.size and (rows.min() < -work.n_obs or rows.max() >= work.n_obs):
            msg = f"indices holds {rows.min()} to {rows.max()}, but there are {work.n_obs} rows."
            raise InputError(msg)
        return rows % max(work.n_obs, 1)
