"""Write results into the user's AnnData: the keys of :mod:`domainvi._keys` and nothing else."""

from __future__ import annotations

import copy
import logging
import warnings
from importlib.metadata import version
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi import _keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import count_empty_rows, reference_order
from domainvi.errors import InputError

from ._cautions import find_cautions
from ._codes import codes
from ._judgement import unknown_spaces
from ._persistence import PersistenceMixin
from ._prediction import PredictionMixin
from ._target_annotation import TargetAnnotationMixin, colors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._inference import RowOutputs

logger = logging.getLogger(__name__)


class AnnotationMixin(TargetAnnotationMixin, PredictionMixin, PersistenceMixin):
    """``annotate``."""

    def annotate(
        self,
        adata: AnnData | MuData | None = None,
        unknown_alpha: float | None = None,
        targets: Sequence[str] | None = None,
        caution_rows: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write latents, predictions and the verdict on them into ``adata``.

        Parameters
        ----------
        adata
            Object to annotate; the one that the model was made with if ``None``. In a MuData,
            rows that have none of the modalities get missing values.
        unknown_alpha
            Rows whose p-value of belonging to any known class is at most this are labelled with
            the unlabelled category (``"Unknown"``) in the prediction column. ``None`` keeps the
            best class for every row. In the colours of the reference the category is grey.
        targets
            Which of the further phenotypes to write; all of them if ``None``.
        caution_rows
            Mask of the rows of ``adata`` that the cautions are about. By default all of them, or,
            in the model's own data, those without a label.

        Returns
        -------
        Nothing. Writes ``obsm["X_domainvi"]``, ``obs["<labels_key>_pred"]``,
        ``obs["<labels_key>_conf"]``, ``obs["<labels_key>_unknown"]``,
        ``obsm["<labels_key>_prob"]``, ``uns["domainvi"]``, and
        ``uns["<labels_key>_pred_colors"]`` when the reference has colours. The same columns for
        each of the ``target_keys``; of a numeric one, ``_pred`` has the value and ``_conf`` its
        standard error, both in its unit.

        ``uns["domainvi"]["cautions"]`` says in sentences what speaks against believing the labels
        of ``caution_rows``. It is empty where nothing was found, which is no proof.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If ``targets`` names one that the model does not have, ``unknown_alpha`` is no share, or
            ``caution_rows`` is no mask of the rows.

        Warns
        -----
        UserWarning
            If rows hold nothing but zeros; ``uns["domainvi"]["rows_without_values"]`` counts them.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.annotate(adata)
        >>> sorted(adata.obsm)
        ['X_domainvi', 'label_prob']
        >>> {"label_pred", "label_conf", "label_unknown"} <= set(adata.obs)
        True
        """
        self._check_trained()
        check_alpha(unknown_alpha)
        chosen = [t.key for t in self.targets] if targets is None else list(targets)
        numbers = [self.module.target_heads.index(key) for key in chosen]
        work = self._validate_anndata(adata)
        target = self._own_data() if adata is None else adata
        inside = target.obs_names.isin(work.obs_names)
        if caution_rows is None:
            about = self._to_judge(work)
        else:
            about = check_mask(caution_rows, "caution_rows", target.n_obs)[inside]
        out = self._outputs(work, None, None, wanted=("reference",))
        order = [self.classes.index(c) for c in self.class_order_]
        p = self._probabilities(out)[:, order]
        known = self._unknown_p_values(work, out)
        key = self.registry_[SETUP_ARGS_KEY]["labels_key"]
        columns = self._class_columns(key, self.class_order_, p, known, unknown_alpha)
        arrays, colors = {_keys.probability(key): p.astype(np.float32)}, {}
        if self.class_colors_:
            palette = colors_of(self.class_colors_, unknown_alpha)
            colors[_keys.colors(_keys.prediction(key))] = palette
        for i in numbers:
            found = self._target_found(i, work, out, unknown_alpha)
            columns, arrays, colors = columns | found[0], arrays | found[1], colors | found[2]
        # Everything is computed before the first key is written.
        summary = self._summary(work)
        if summary["rows_without_values"]:
            warnings.warn(
                f"{summary['rows_without_values']} of {work.n_obs} rows hold nothing but zeros in "
                "the genes of the model; their predictions mean nothing. Filter them out.",
                UserWarning,
                stacklevel=2,
            )
        rows = pd.DataFrame({"confidence": columns[_keys.confidence(key)], "unknown": known})
        summary[_keys.CAUTIONS] = find_cautions(self, rows[about], summary)
        if len(summary[_keys.CAUTIONS]):
            logger.warning(
                "Cautions on these predictions: %d, see uns[%r][%r].",
                len(summary[_keys.CAUTIONS]),
                _keys.RESULTS,
                _keys.CAUTIONS,
            )
        names = target.obs_names
        for name, values in columns.items():
            target.obs[name] = pd.Series(values, index=work.obs_names).reindex(names)
        for name, array in {_keys.LATENT: out.latent, **arrays}.items():
            target.obsm[name] = at_rows(inside, array)
        target.uns.update({_keys.RESULTS: summary, **colors})

    def _to_judge(self, work: PreparedAnnData) -> NDArray[np.bool_]:
        """Rows that cautions are about: of the model's own data those that did not teach it."""
        every = np.ones(work.n_obs, dtype=bool)
        own = None if self._adata is None else self._require_manager().adata
        if own is None or not own.obs_names.equals(work.obs_names):
            return every
        untold = self._labels(own) < 0
        return untold if untold.any() else every

    def _unknown_p_values(self, work: PreparedAnnData, out: RowOutputs) -> np.ndarray:
        if self.unknown_ is None:
            return np.full(len(out.mean), np.nan)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        return self.unknown_.p_value(unknown_spaces(out), out.linear, domain=domain)

    def _summary(self, work: PreparedAnnData) -> dict[str, Any]:
        """Gather what ``uns["domainvi"]`` holds: text, numbers, arrays and dicts of them."""
        setup = self.registry_[SETUP_ARGS_KEY]
        batch = setup["batch_key"]
        summary: dict[str, Any] = {
            "version": version("domainvi"),
            "classes": np.asarray(self.class_order_, dtype=object),
            "labels_key": setup["labels_key"],
            "batch_key": batch if isinstance(batch, str) else np.asarray(batch, dtype=object),
            "unlabeled_category": setup["unlabeled_category"],
            "genes_matched": int(work.gene_mask.sum()),
            "rows_without_values": count_empty_rows(work.X),
            "unseen_cohorts": {k.replace("/", "|"): v for k, v in work.scaling_notes.items()},
            "params": {k: v for k, v in self._parameters().items() if v is not None},
            "audit": copy.deepcopy(self.audit_),
            "guard": copy.deepcopy(self.guard_),
        }
        if self.targets:
            summary["targets"] = {
                t.key.replace("/", "|"): np.asarray(self.target_order_[t.key], dtype=object)
                for t in self.targets
            }
        return summary

    def _remember_reference(self, adata: AnnData | MuData) -> None:
        """Keep the order and the colours of the classes as the user's object has them."""
        key = self.registry_[SETUP_ARGS_KEY]["labels_key"]
        self.class_order_, self.class_colors_ = order_and_colors(adata, key, self.classes)
        for target in self.targets:
            order, colors = order_and_colors(adata, target.key, list(target.classes))
            self.target_order_[target.key], self.target_colors_[target.key] = order, colors


def check_alpha(unknown_alpha: float | None) -> None:
    """Refuse what is no share of p-values."""
    if unknown_alpha is None or (isinstance(unknown_alpha, Real) and 0 <= unknown_alpha <= 1):
        return
    msg = f"unknown_alpha={unknown_alpha!r} must be a number from 0 to 1, or None."
    raise InputError(msg)


def check_mask(mask: NDArray[np.bool_], argument: str, n_rows: int) -> NDArray[np.bool_]:
    """Refuse what does not choose some of the rows."""
    mask = np.asarray(mask)
    if mask.dtype == bool and mask.shape == (n_rows,):
        return mask
    msg = (
        f"{argument} holds {mask.dtype} values of shape {mask.shape}; expected a mask of booleans "
        f"of shape ({n_rows},), one for each row."
    )
    raise InputError(msg)


def order_and_colors(
    adata: AnnData | MuData, key: str, classes: list[str]
) -> tuple[list[str], list[str]]:
    """Order of the classes in the user's column, and their colours; none where one has none."""
    order = reference_order(adata.obs, key, classes)
    colors = list(adata.uns.get(_keys.colors(key), []))
    column = adata.obs.get(key)
    if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
        named = dict(zip(column.cat.categories.astype(str), colors, strict=False))
        if all(c in named for c in order):
            return order, [str(named[c]) for c in order]
    return order, []


def at_rows(inside: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give rows outside of the model's data missing values.

    Examples
    --------
    >>> at_rows(np.array([True, False]), np.array([[0.5]], dtype=np.float32)).tolist()
    [[0.5], [nan]]
    """
    if inside.all():
        return values
    out = np.full((len(inside), values.shape[1]), np.nan, dtype=np.float32)
    out[inside] = values
    return out
