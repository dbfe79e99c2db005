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

    def _row_numbers(
        self, work: PreparedAnnData, indices: Sequence | NDArray | None
    ) -> NDArray[np.int64]:
        if indices is None:
            return np.arange(work.n_obs)
        rows = np.asarray(indices)
        if rows.dtype == bool:
            if len(rows) != work.n_obs:
                msg = f"indices is a mask of length {len(rows)}, but there are {work.n_obs} rows."
                raise InputError(msg)
            return np.flatnonzero(rows)
        rows = rows.astype(np.int64)
        if rows.size and (rows.min() < -work.n_obs or rows.max() >= work.n_obs):
            msg = f"indices holds {rows.min()} to {rows.max()}, but there are {work.n_obs} rows."
            raise InputError(msg)
        return rows % max(work.n_obs, 1)
