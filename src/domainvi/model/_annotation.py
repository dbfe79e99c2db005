"""Write results into the user's AnnData: the keys of :mod:`domainvi._keys` and nothing else."""

from __future__ import annotations

import copy
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi import _keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import reference_order

from ._codes import codes
from ._judgement import unknown_spaces
from ._persistence import PersistenceMixin
from ._prediction import PredictionMixin

if TYPE_CHECKING:
    from anndata import AnnData

    from domainvi.data import PreparedAnnData

    from ._inference import RowOutputs


class AnnotationMixin(PredictionMixin, PersistenceMixin):
    """``annotate``."""

    def annotate(self, adata: AnnData | None = None, unknown_alpha: float | None = None) -> None:
        """Write latents, predictions and the verdict on them into ``adata``.

        Parameters
        ----------
        adata
            Object to annotate; the one that the model was made with if ``None``.
        unknown_alpha
            Rows whose p-value of belonging to any known class is at most this are labelled with
            the unlabelled category (``"Unknown"``) in the prediction column. ``None`` keeps the
            best class for every row.

        Returns
        -------
        Nothing. Writes ``obsm["X_domainvi"]``, ``obs["<labels_key>_pred"]``,
        ``obs["<labels_key>_conf"]``, ``obs["<labels_key>_unknown"]``,
        ``obsm["<labels_key>_prob"]``, ``uns["domainvi"]``, and
        ``uns["<labels_key>_pred_colors"]`` when the reference has colours.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        """
        self._check_trained()
        work = self._validate_anndata(adata)
        target = self._own_data() if adata is None else adata
        out = self._outputs(work, None, None, with_reference=True)
        order = [self.classes.index(c) for c in self.class_order_]
        p = self._probabilities(out)[:, order]
        known = self._unknown_p_values(work, out)
        key = self.registry_[SETUP_ARGS_KEY]["labels_key"]
        columns = {
            _keys.prediction(key): self._named(p, known, unknown_alpha),
            _keys.confidence(key): p.max(axis=1).astype(np.float32),
            _keys.unknown(key): known.astype(np.float32),
        }
        # Everything is computed before the first key is written.
        summary = self._summary(work)
        for name, values in columns.items():
            target.obs[name] = pd.Series(values, index=target.obs_names)
        target.obsm[_keys.LATENT] = out.latent
        target.obsm[_keys.probability(key)] = p.astype(np.float32)
        target.uns[_keys.RESULTS] = summary
        if self.class_colors_:
            target.uns[_keys.colors(_keys.prediction(key))] = list(self.class_colors_)

    def _named(
        self, p: np.ndarray, known: np.ndarray, unknown_alpha: float | None
    ) -> pd.Categorical:
        names = np.asarray(self.class_order_, dtype=object)[p.argmax(axis=1)]
        categories = list(self.class_order_)
        if unknown_alpha is not None:
            unlabelled = self.registry_[SETUP_ARGS_KEY]["unlabeled_category"]
            names = np.where(known <= unknown_alpha, unlabelled, names)
            categories.append(unlabelled)
        return pd.Categorical(names, categories=categories)

    def _unknown_p_values(self, work: PreparedAnnData, out: RowOutputs) -> np.ndarray:
        if self.unknown_ is None:
            return np.full(len(out.mean), np.nan)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        return self.unknown_.p_value(unknown_spaces(out), out.linear, domain=domain)

    def _summary(self, work: PreparedAnnData) -> dict[str, Any]:
        """Gather what ``uns["domainvi"]`` holds: text, numbers, arrays and dicts of them."""
        setup = self.registry_[SETUP_ARGS_KEY]
        batch = setup["batch_key"]
        return {
            "version": version("domainvi"),
            "classes": np.asarray(self.class_order_, dtype=object),
            "labels_key": setup["labels_key"],
            "batch_key": batch if isinstance(batch, str) else np.asarray(batch, dtype=object),
            "unlabeled_category": setup["unlabeled_category"],
            "genes_matched": int(work.gene_mask.sum()),
            "unseen_cohorts": {k.replace("/", "|"): v for k, v in work.scaling_notes.items()},
            "params": {k: v for k, v in self._parameters().items() if v is not None},
            "audit": copy.deepcopy(self.audit_),
            "guard": copy.deepcopy(self.guard_),
        }

    def _remember_reference(self, adata: AnnData) -> None:
        """Keep the order and the colours of the classes as the user's object has them."""
        key = self.registry_[SETUP_ARGS_KEY]["labels_key"]
        self.class_order_ = reference_order(adata.obs, key, self.classes)
        colors = list(adata.uns.get(_keys.colors(key), []))
        column = adata.obs.get(key)
        self.class_colors_: list[str] = []
        if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
            named = dict(zip(column.cat.categories.astype(str), colors, strict=False))
            if all(c in named for c in self.class_order_):
                self.class_colors_ = [str(named[c]) for c in self.class_order_]
