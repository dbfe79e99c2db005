"""Write the results of a model with subspaces into the user's AnnData."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domainvi import _keys

from ._disentangled_persistence import DisentangledPersistenceMixin

if TYPE_CHECKING:
    from anndata import AnnData


class DisentangledAnnotationMixin(DisentangledPersistenceMixin):
    """``annotate``."""

    def annotate(self, adata: AnnData | None = None) -> None:
        """Write latents and predicted factors into ``adata``.

        Parameters
        ----------
        adata
            Object to annotate; the one that the model was made with if ``None``.

        Returns
        -------
        Nothing. Writes ``obsm["X_domainvi"]`` (all subspaces) and ``obsm["X_domainvi_<subspace>"]``
        for each; for each factor ``obs["<factor>_pred"]`` and ``obs["<factor>_conf"]``: the level
        and its probability, or the number and its standard error; and ``uns["domainvi"]``.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.annotate(adata)
        >>> "tissue_pred" in adata.obs
        True
        """
        self._check_trained()
        work = self._validate_anndata(adata)
        target = self._own_data() if adata is None else adata
        latent = self._encode(work).mean
        columns: dict[str, Any] = {}
        for factor in self.factors:
            soft = self.predict(work, factor=factor.name, soft=True).to_numpy()  # type: ignore[union-attr]
            first, second = soft[:, 0], soft[:, 1]
            if not factor.is_numeric:
                categories = list(factor.levels)
                first = pd.Categorical.from_codes(soft.argmax(axis=1), categories)
                second = soft.max(axis=1).astype(np.float32)
            columns[_keys.prediction(factor.name)] = first
            columns[_keys.confidence(factor.name)] = second
        # Everything is computed before the first key is written.
        for name, values in columns.items():
            target.obs[name] = pd.Series(values, index=target.obs_names)
        target.obsm[_keys.LATENT] = latent
        for name in self.subspaces:
            target.obsm[_keys.subspace(name)] = latent[:, self._columns_of(name)]
        target.uns[_keys.RESULTS] = self._summary()

    def _summary(self) -> dict[str, Any]:
        """Gather what ``uns["domainvi"]`` holds: text, numbers, arrays and dicts of them."""
        names = [f.name for f in self.factors]
        parameters = {k: v for k, v in self._parameters().items() if v is not None}
        return {
            "version": version("domainvi"),
            "factors": np.asarray(names, dtype=object),
            "groups": np.asarray([f.group for f in self.factors], dtype=object),
            "units": dict(self.module.sizes),
            "params": {
                k: np.asarray(v) if isinstance(v, list) else v for k, v in parameters.items()
            },
            # Pairs of factors whose groups are independent within strata only.
            "confounded": np.asarray(
                [f"{names[int(a)]} and {names[int(b)]}" for a, b in self._setup["confounded"]],
                dtype=object,
            ),
        }
