"""Save and load without pickle."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS

from domainvi._compat import (
    FIELD_REGISTRIES_KEY,
    SETUP_ARGS_KEY,
    STATE_REGISTRY_KEY,
    parse_device_args,
)
from domainvi.data import check_setup, prepare
from domainvi.errors import DomainVIError, InputError, ModelFileError
from domainvi.io import read_model, write_model
from domainvi.train import Centring, is_main_process
from domainvi.trust import Calibrator, UnknownScorer

from ._prepared import PreparedDataMixin, as_rows, columns_of, register
from ._targets import registered_targets

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData

MODULE_PREFIX = "module."
UNKNOWN_PREFIX = "unknown."
CENTRING_PREFIX = "centring."
TARGET_UNKNOWN_PREFIX = "target_unknown."
PLAIN = (
    "is_trained_",
    "is_scaled_",
    "class_order_",
    "class_colors_",
    "target_order_",
    "target_colors_",
    "agreement_",
    "n_reference_domains_",
    "audit_",
    "guard_",
    "pretraining_",
    "partial_",
)
# Files of earlier versions lack these; what the constructor made stays.
LATER = frozenset({"target_order_", "target_colors_", "pretraining_", "partial_"})
# What a description may raise that is valid JSON and was never written by `save`.
FORGED = (
    DomainVIError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
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
        for i, target in enumerate(self.targets):
            if target.key in self.target_unknown_:
                arrays = self.target_unknown_[target.key].to_arrays()
                tensors |= {f"{TARGET_UNKNOWN_PREFIX}{i}.{k}": v for k, v in arrays.items()}
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
    def load(
        cls,
        dir_path: str | os.PathLike[str],
        adata: AnnData | MuData | None = None,
        accelerator: str = "cpu",
        device: int | str = "auto",
    ) -> Self:
        """Load a model; nothing in the directory is executed.

        Parameters
        ----------
        dir_path
            Directory written by :meth:`save`.
        adata
            Data to attach, with the columns of the original setup; its genes are matched by name.
            For a model of several modalities a MuData with any of them, or an AnnData of one.
            Without it the model predicts for data that are passed to its methods.
        accelerator, device
            Where the model is put, as in scvi-tools; ``model.to_device`` moves it later.

        Returns
        -------
        The model.

        Raises
        ------
        ModelFileError
            If the directory is missing, damaged or no model of this class.
        GeneMatchError
            If too few genes of ``adata`` match.
        """
        tensors, metadata = read_model(dir_path)
        if metadata.get("model") != cls.__name__:
            msg = f"{dir_path} holds a {metadata.get('model')!s:.80}, not a {cls.__name__}."
            raise ModelFileError(msg)
        with consistent(dir_path):
            cls._check_description(tensors, metadata)
        if adata is not None:
            cls._attach(adata, metadata["registry"])
        with consistent(dir_path):
            model = cls(adata, registry=metadata["registry"], **metadata["parameters"])
            model._restore(tensors, metadata)
            if model.n_reference_domains_ is not None:
                model._freeze(model.n_reference_domains_)
        *_, place = parse_device_args(accelerator, device, "torch", validate_single_device=True)
        model.to_device(place)
        return model

    @classmethod
    def _check_description(cls, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Compare the described sizes with the tensors before memory is taken for them."""
        registry, parameters = metadata["registry"], metadata["parameters"]
        columns_of(registry[SETUP_ARGS_KEY])
        if not 0 < parameters.get("n_layers", 1) <= len(tensors):
            msg = f"{parameters['n_layers']} layers"
            raise ValueError(msg)
        with torch.device("meta"):
            model = cls(registry=registry, **parameters)
            model._make_room(metadata, tensors)
        described = {MODULE_PREFIX + k: v.shape for k, v in model.module.state_dict().items()}
        found = {k: v.shape for k, v in tensors.items() if k.startswith(MODULE_PREFIX)}
        if wrong := sorted(k for k in described | found if described.get(k) != found.get(k)):
            msg = f"{len(wrong)} tensors are missing, too many or of another size ({wrong[0]:.80})"
            raise ValueError(msg)

    def _make_room(self, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
        """Add the parts of the module that training adds."""
        self.module.set_linear_members(metadata["n_members"])

    @classmethod
    def _attach(cls, data: AnnData | MuData, registry: dict[str, Any]) -> None:
        """Set data up as a model's own, by the registry of the model."""
        adata = as_rows(data, registry)
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
        targets = registered_targets(registry)
        work = prepare(adata, columns, reference_genes=genes, classes=classes, targets=targets)
        known = fields[REGISTRY_KEYS.BATCH_KEY]["categorical_mapping"]
        if new := sorted(set(adata.obs[columns.batch_keys[0]].astype(str)) - set(map(str, known))):
            msg = (
                f"adata has domains that the model does not: {', '.join(new[:5])}. Load without "
                "adata and pass it to predict or annotate, or use load_query_data."
            )
            raise InputError(msg)
        arguments = {k: v for k, v in registry.items() if k != FIELD_REGISTRIES_KEY}
        register(work, columns, arguments, registry)
        cls._remember(data, work)

    def _restore(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        self._make_room(metadata, tensors)
        state = {
            k.removeprefix(MODULE_PREFIX): v
            for k, v in tensors.items()
            if k.startswith(MODULE_PREFIX)
        }
        self.module.load_state_dict(state)
        self.module.eval()
        for part, names in (("state", PLAIN), ("indices", INDICES)):
            for name in names:
                if name in metadata[part] or name not in LATER:
                    setattr(self, name, metadata[part][name])
        if sorted(self.class_order_) != sorted(self.classes):
            msg = f"{len(self.class_order_)} ordered classes, {len(self.classes)} in the registry"
            raise ValueError(msg)
        if metadata["calibration"] is not None:
            self.calibration_ = Calibrator.from_dict(metadata["calibration"])
        unknown, centring = (arrays_under(p, tensors) for p in (UNKNOWN_PREFIX, CENTRING_PREFIX))
        self.unknown_ = UnknownScorer.from_arrays(unknown) if unknown else None
        self.centring_ = Centring.from_arrays(centring) if centring else None
        for i, target in enumerate(self.targets):
            arrays = arrays_under(f"{TARGET_UNKNOWN_PREFIX}{i}.", tensors)
            if arrays:
                self.target_unknown_[target.key] = UnknownScorer.from_arrays(arrays)
        self.history_ = {k: history_frame(k, v) for k, v in metadata["history"].items()} or None

    def _parameters(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return dict(self.init_params_["non_kwargs"])


@contextmanager
def consistent(dir_path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong with a forged or half-fitting description into the documented error."""
    try:
        yield
    except FORGED as error:
        raise ModelFileError(unusable(dir_path, error)) from error


def unusable(dir_path: str | os.PathLike[str], error: Exception) -> str:
    """Say in one line that the parts of a model do not fit together."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return (
        f"{dir_path} holds parts that do not fit together ({reason:.200}). Copy the model again "
        "from its source."
    )


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
