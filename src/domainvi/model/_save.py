"""Saving and loading models without pickle: safetensors for arrays, JSON for the rest."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import torch
from mudata import MuData

from domainvi.errors import DomainVIError, ModelFileError
from domainvi.io import read_model, whole_file, write_model
from domainvi.train import is_main_process

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData

    from ._base import CohortModel

MODULE_PREFIX = "module."
# What a description may raise that is valid JSON and was never written by `save`.
FORGED = (
    DomainVIError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
# Data beside a model, named as in scvi-tools.
ANNDATA, MUDATA = "adata.h5ad", "mdata.h5mu"
INDICES = ("train_indices_", "validation_indices_")
Model = TypeVar("Model", bound="CohortModel")


def save_model(model: CohortModel, dir_path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write weights, fitted state, registry and history of a model to a directory."""
    if not is_main_process():
        return
    tensors, fitted = model._to_file()
    metadata = {
        "model": type(model).__name__,
        "parameters": model._parameters(),
        "registry": plain(model.registry_),
        "is_trained": model.is_trained_,
        "indices": {name: getattr(model, name) for name in INDICES},
        "history": {k: history_columns(v) for k, v in (model.history_ or {}).items()},
        "fitted": fitted,
    }
    weights = {MODULE_PREFIX + k: v for k, v in model.module.state_dict().items()}
    write_model(
        dir_path,
        weights | tensors,
        metadata,
        overwrite=overwrite,
        package_version=version("domainvi"),
    )


def save_data_beside(data: AnnData | MuData, dir_path: str | os.PathLike[str]) -> None:
    """Write data into the directory of a model, in one step."""
    if not is_main_process():
        return
    kind = MUDATA if isinstance(data, MuData) else ANNDATA
    try:
        with whole_file(Path(dir_path) / kind) as beside:
            if isinstance(data, MuData):
                data.write_h5mu(beside)
            else:
                data.write_h5ad(beside)
    except MemoryError:
        raise
    except Exception as error:  # anndata raises anything
        reason = getattr(error, "strerror", None) or error
        msg = (
            f"{dir_path} holds the model, but {kind} cannot be written ({reason}). Free some "
            "space, drop what no file can hold, or save the data elsewhere."
        )
        raise ModelFileError(msg) from error


def data_beside(dir_path: str | os.PathLike[str]) -> AnnData | MuData | None:
    """Read the data in the directory of a model, if there are any."""
    for name, read in ((ANNDATA, ad.read_h5ad), (MUDATA, md.read_h5mu)):
        path = Path(dir_path) / name
        if path.is_file() and not path.is_symlink():
            try:
                return read(path)
            except Exception as error:  # readers raise anything on damaged files
                msg = f"{path} cannot be read ({error!s:.200}). Pass adata=False to go without."
                raise ModelFileError(msg) from error
    return None


def read_registry(dir_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a saved model was set up with."""
    _, metadata = read_model(dir_path)
    with consistent(dir_path):
        return dict(metadata["registry"])


def load_model(cls: type[Model], dir_path: str | os.PathLike[str]) -> Model:
    """Make a model, without data, from what :func:`save_model` wrote."""
    tensors, metadata = read_model(dir_path)
    if metadata.get("model") != cls.__name__:
        msg = f"{dir_path} holds a {metadata.get('model')!s:.80}, not a {cls.__name__}."
        raise ModelFileError(msg)
    with consistent(dir_path):
        check_description(cls, tensors, metadata)
    with consistent(dir_path):
        model = cls(registry=metadata["registry"], **metadata["parameters"])
        model._make_room(metadata["fitted"])
        model.module.load_state_dict(arrays_under(MODULE_PREFIX, tensors))
        model.module.eval()
        model.is_trained_ = metadata["is_trained"] is True
        for name in INDICES:
            rows = metadata["indices"][name]
            setattr(model, name, None if rows is None else np.asarray(rows, dtype=np.int64))
        history = {k: history_frame(k, v) for k, v in metadata["history"].items()}
        model.history_ = history or None
        model._from_file(tensors, metadata["fitted"])
    return model


def check_description(
    cls: type[CohortModel], tensors: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Compare the described sizes with the tensors before memory is taken for them."""
    registry, parameters = metadata["registry"], metadata["parameters"]
    cls._check_registry(registry)
    if parameters.get("pretrain_from") is not None:
        msg = "pretrain_from names another directory"
        raise ValueError(msg)
    if not 0 < parameters.get("n_layers", 1) <= len(tensors):
        msg = f"{parameters['n_layers']} layers"
        raise ValueError(msg)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without elements, which no tensor fits
        model = cls(registry=registry, **parameters)
        model._make_room(metadata["fitted"])
    described = {MODULE_PREFIX + k: v.shape for k, v in model.module.state_dict().items()}
    found = {k: v.shape for k, v in tensors.items() if k.startswith(MODULE_PREFIX)}
    if wrong := sorted(k for k in described | found if described.get(k) != found.get(k)):
        msg = f"{len(wrong)} tensors are missing, too many or of another size ({wrong[0]:.80})"
        raise ValueError(msg)


@contextmanager
def consistent(dir_path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what goes wrong with a forged or half-fitting description into the documented error."""
    try:
        yield
    except FORGED as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        msg = (
            f"{dir_path} holds parts that do not fit together ({reason:.200}). Copy the model "
            "again from its source."
        )
        raise ModelFileError(msg) from error


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
    """One logged metric as plain columns."""
    return {
        "index_name": str(frame.index.name),
        "index": frame.index.to_numpy(dtype=np.int64),
        "values": frame.iloc[:, 0].to_numpy(dtype=np.float64),
    }


def history_frame(name: str, columns: dict[str, Any]) -> pd.DataFrame:
    """Undo :func:`history_columns`."""
    index = pd.Index(columns["index"], name=columns["index_name"])
    return pd.DataFrame({name: columns["values"]}, index=index)


def arrays_under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Take the tensors whose names start with a prefix, and drop it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
