"""Save and load without pickle: what the files of all models have in common."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch

from domainvi._compat import parse_device_args
from domainvi.errors import DomainVIError, ModelFileError
from domainvi.io import read_model, write_model
from domainvi.train import is_main_process

from ._rows import RowsMixin

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from anndata import AnnData
    from mudata import MuData

    from domainvi.data import PreparedAnnData

MODULE_PREFIX = "module."
# What a description may raise that is valid JSON and was never written by `save`.
FORGED = (
    DomainVIError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
INDICES = ("train_indices_", "validation_indices_")


class StoredMixin(RowsMixin):
    """``save`` and ``load``: safetensors for arrays, JSON for the rest."""

    # Attributes that JSON holds as they are.
    plain_state: ClassVar[tuple[str, ...]]
    # Of these, files of earlier versions lack some; what the constructor made stays.
    later_state: ClassVar[frozenset[str]] = frozenset()

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

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     loaded = dv.DomainVI.load(f"{folder}/model")
        >>> bool((loaded.predict(adata) == model.predict()).all())
        True
        """
        if not is_main_process():
            return
        tensors = {MODULE_PREFIX + k: v for k, v in self.module.state_dict().items()}
        metadata = {
            "model": type(self).__name__,
            "parameters": self._parameters(),
            "registry": plain(self.registry_),
            "state": {name: getattr(self, name) for name in self.plain_state},
            "indices": {name: getattr(self, name) for name in INDICES},
            "history": {k: history_columns(v) for k, v in (self.history_ or {}).items()},
        }
        write_model(
            dir_path,
            tensors | self._more_tensors(),
            metadata | self._more_metadata(),
            overwrite=overwrite,
            package_version=version("domainvi"),
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
        InputError
            If ``adata`` has values on another scale, or levels that the model does not know.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     loaded = dv.DomainVI.load(f"{folder}/model")
        >>> loaded.classes == model.classes
        True
        """
        tensors, metadata = read_model(dir_path)
        if metadata.get("model") != cls.__name__:
            msg = f"{dir_path} holds a {metadata.get('model')!s:.80}, not a {cls.__name__}."
            raise ModelFileError(msg)
        with consistent(dir_path):
            cls._check_description(tensors, metadata)
        with consistent(dir_path):
            model = cls(registry=metadata["registry"], **metadata["parameters"])
            model._restore(tensors, metadata)
        if adata is not None:
            work = model._prepare_own(adata)
            cls._remember(adata, work)
            model._adata, model._adata_manager = adata, work.manager
        *_, place = parse_device_args(accelerator, device, "torch", validate_single_device=True)
        model.to_device(place)
        return model

    @classmethod
    def _check_description(cls, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Compare the described sizes with the tensors before memory is taken for them."""
        registry, parameters = metadata["registry"], metadata["parameters"]
        cls._check_registry(registry)
        if parameters.get("pretrain_from") is not None:
            msg = "pretrain_from names another directory"
            raise ValueError(msg)
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

    def _restore(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Fill a new model from its file."""
        self._make_room(metadata, tensors)
        self.module.load_state_dict(arrays_under(MODULE_PREFIX, tensors))
        self.module.eval()
        for part, names in (("state", self.plain_state), ("indices", INDICES)):
            for name in names:
                if name in metadata[part] or name not in self.later_state:
                    setattr(self, name, metadata[part][name])
        self.history_ = {k: history_frame(k, v) for k, v in metadata["history"].items()} or None

    def _parameters(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return dict(self.init_params_["non_kwargs"])

    def _more_tensors(self) -> dict[str, Any]:
        """Arrays beside those of the module."""
        return {}

    def _more_metadata(self) -> dict[str, Any]:
        """Values beside those that every model has."""
        return {}

    def _make_room(self, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
        """Add the parts of the module that training adds."""

    @classmethod
    def _check_registry(cls, registry: dict[str, Any]) -> None:
        """Look at the registry before a model is made of it."""

    @abstractmethod
    def _prepare_own(self, data: Any) -> PreparedAnnData:
        """Prepare data that become the model's own, by its registry."""


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


def arrays_under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Take the tensors whose names start with a prefix, and drop it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
