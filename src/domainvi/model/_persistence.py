"""Save and load without pickle."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, STATE_REGISTRY_KEY
from domainvi.data import check_setup, prepare
from domainvi.errors import InputError, ModelFileError
from domainvi.io import read_model, write_model
from domainvi.train import Centring, is_main_process
from domainvi.trust import Calibrator, UnknownScorer

from ._prepared import PreparedDataMixin, columns_of, register

if TYPE_CHECKING:
    import os

    from anndata import AnnData

MODULE_PREFIX = "module."
UNKNOWN_PREFIX = "unknown."
CENTRING_PREFIX = "centring."
PLAIN = (
    "is_trained_",
    "is_scaled_",
    "class_order_",
    "class_colors_",
    "agreement_",
    "n_reference_domains_",
    "audit_",
    "guard_",
)
INDICES = ("train_indices_", "validation_indices_")


class PersistenceMixin(PreparedDataMixin):
    """``save`` and ``load``: safetensors for arrays, JSON for the rest."""

    def save(self, dir_path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Save the model to a directory.

        Parameters
        ----------
        dir_path
            Directory to write: ``model.json`` and one safetensors file. A crash leaves the old
            model or the new one. Of processes that train together only the first writes.
        overwrite
            Replace a DomainVI model in this directory.

        Raises
        ------
        ModelFileError
            If the directory exists already, or cannot be written.
        """
        if not is_main_process():
            return
        tensors = {MODULE_PREFIX + k: v for k, v in self.module.state_dict().items()}
        if self.unknown_ is not None:
            arrays = self.unknown_.to_arrays()
            tensors |= {UNKNOWN_PREFIX + k: np.asarray(v) for k, v in arrays.items()}
        if self.centring_ is not None:
            tensors |= {CENTRING_PREFIX + k: v for k, v in self.centring_.to_arrays().items()}
        calibration = None if self.calibration_ is None else self.calibration_.to_dict()
        history = self.history_ or {}
        metadata = {
            "model": type(self).__name__,
            "parameters": self._parameters(),
            "n_members": self.module.linear.n_members,
            "registry": plain(self.registry_),
            "state": {name: getattr(self, name) for name in PLAIN},
            "indices": {name: getattr(self, name) for name in INDICES},
            "calibration": calibration,
            "history": {k: history_columns(v) for k, v in history.items()},
        }
        write_model(
            dir_path, tensors, metadata, overwrite=overwrite, package_version=version("domainvi")
        )

    @classmethod
    def load(cls, dir_path: str | os.PathLike[str], adata: AnnData | None = None) -> Self:
        """Load a model; nothing in the directory is executed.

        Parameters
        ----------
        dir_path
            Directory written by :meth:`save`.
        adata
            Data to attach, with the columns of the original setup; its genes are matched by name.
            Without it the model predicts for data that are passed to its methods.

        Returns
        -------
        The model, on the CPU; ``model.to_device`` moves it.

        Raises
        ------
        ModelFileError
            If the directory is missing, damaged or no model of this class.
        GeneMatchError
            If too few genes of ``adata`` match.
        """
        tensors, metadata = read_model(dir_path)
        if metadata["model"] != cls.__name__:
            msg = f"{dir_path} holds a {metadata['model']}, not a {cls.__name__}."
            raise ModelFileError(msg)
        registry = metadata["registry"]
        if adata is not None:
            cls._attach(adata, registry)
        model = cls(adata, registry=registry, **metadata["parameters"])
        model._restore(tensors, metadata)
        if model.n_reference_domains_ is not None:
            model._freeze(model.n_reference_domains_)
        return model

    @classmethod
    def _attach(cls, adata: AnnData, registry: dict[str, Any]) -> None:
        """Set data up as a model's own, by the registry of the model."""
        columns = columns_of(registry[SETUP_ARGS_KEY])
        fields = {k: v[STATE_REGISTRY_KEY] for k, v in registry[FIELD_REGISTRIES_KEY].items()}
        genes = fields[REGISTRY_KEYS.X_KEY]["column_names"]
        classes = fields[REGISTRY_KEYS.LABELS_KEY]["categorical_mapping"][:-1]
        check_setup(
            adata,
            batch_keys=columns.batch_keys,
            labels_key=None,
            layer=columns.layer,
            require_labels=False,
            require_domains=False,
        )
        work = prepare(adata, columns, reference_genes=genes, classes=classes)
        known = fields[REGISTRY_KEYS.BATCH_KEY]["categorical_mapping"]
        if new := sorted(set(adata.obs[columns.batch_keys[0]].astype(str)) - set(map(str, known))):
            msg = (
                f"adata has domains that the model does not: {', '.join(new[:5])}. Load without "
                "adata and pass it to predict or annotate, or use load_query_data."
            )
            raise InputError(msg)
        arguments = {k: v for k, v in registry.items() if k != FIELD_REGISTRIES_KEY}
        register(work, columns, arguments, registry)
        cls._remember(adata, work)

    def _restore(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.module.set_linear_members(metadata["n_members"])
        state = {
            k.removeprefix(MODULE_PREFIX): v
            for k, v in tensors.items()
            if k.startswith(MODULE_PREFIX)
        }
        try:
            self.module.load_state_dict(state)
        except RuntimeError as error:
            msg = f"The weights do not fit the model's description: {error}"
            raise ModelFileError(msg) from error
        self.module.eval()
        for name, value in (metadata["state"] | metadata["indices"]).items():
            setattr(self, name, value)
        if metadata["calibration"] is not None:
            self.calibration_ = Calibrator.from_dict(metadata["calibration"])
        unknown, centring = (arrays_under(p, tensors) for p in (UNKNOWN_PREFIX, CENTRING_PREFIX))
        self.unknown_ = UnknownScorer.from_arrays(unknown) if unknown else None
        self.centring_ = Centring.from_arrays(centring) if centring else None
        self.history_ = {k: history_frame(k, v) for k, v in metadata["history"].items()} or None

    def _parameters(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return dict(self.init_params_["non_kwargs"])


def arrays_under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Take the arrays whose names start with a prefix, and drop it."""
    return {k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)}


def plain(value: Any) -> Any:
    """Turn scvi-tools' registry into dicts, lists and arrays."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (pd.Index, pd.Series)) or hasattr(value, "categories"):
        return np.asarray(value, dtype=object)
    return value


def history_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """One logged figure as plain columns."""
    return {
        "index_name": str(frame.index.name),
        "index": frame.index.to_numpy(dtype=np.int64),
        "values": frame.iloc[:, 0].to_numpy(dtype=np.float64),
    }


def history_frame(name: str, columns: dict[str, Any]) -> pd.DataFrame:
    """Undo :func:`history_columns`."""
    index = pd.Index(columns["index"], name=columns["index_name"])
    return pd.DataFrame({name: columns["values"]}, index=index)
