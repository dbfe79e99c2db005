"""Save and load models with subspaces, without pickle."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Self

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, STATE_REGISTRY_KEY
from domainvi.data import check_setup
from domainvi.errors import ModelFileError
from domainvi.io import read_model, write_model

from ._persistence import INDICES, history_columns, history_frame, plain
from ._subspaces import SubspaceMixin, prepare_factors, register_factors

if TYPE_CHECKING:
    import os

    from anndata import AnnData

STATE = ("is_trained_", "is_scaled_", "errors_")


class DisentangledPersistenceMixin(SubspaceMixin):
    """``save`` and ``load``: safetensors for arrays, JSON for the rest."""

    def save(self, dir_path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Save the model to a directory.

        Parameters
        ----------
        dir_path
            Directory to write: ``model.json`` and one safetensors file.
        overwrite
            Replace a model in this directory.

        Raises
        ------
        ModelFileError
            If the directory exists already, or cannot be written.
        """
        metadata = {
            "model": type(self).__name__,
            "parameters": self._parameters(),
            "registry": plain(self.registry_),
            "state": {name: getattr(self, name) for name in STATE},
            "indices": {name: getattr(self, name) for name in INDICES},
            "history": {k: history_columns(v) for k, v in (self.history_ or {}).items()},
        }
        write_model(
            dir_path,
            self.module.state_dict(),
            metadata,
            overwrite=overwrite,
            package_version=version("domainvi"),
        )

    @classmethod
    def load(cls, dir_path: str | os.PathLike[str], adata: AnnData | None = None) -> Self:
        """Load a model; nothing in the directory is executed.

        Parameters
        ----------
        dir_path
            Directory written by :meth:`save`.
        adata
            Data to attach; genes are matched by name, and columns of factors may be missing.
            Without it the model predicts for data that are passed to its methods.

        Returns
        -------
        The model, on the CPU.

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
        try:
            model.module.load_state_dict(tensors)
        except RuntimeError as error:
            msg = f"The weights do not fit the model's description: {error}"
            raise ModelFileError(msg) from error
        model.module.eval()
        for name, value in (metadata["state"] | metadata["indices"]).items():
            setattr(model, name, value)
        model.history_ = {k: history_frame(k, v) for k, v in metadata["history"].items()} or None
        return model

    @classmethod
    def _attach(cls, adata: AnnData, registry: dict[str, Any]) -> None:
        """Set data up as a model's own, by the registry of the model."""
        setup = registry[SETUP_ARGS_KEY]
        check_setup(
            adata,
            batch_keys=[],
            labels_key=None,
            layer=setup["layer"],
            size_factor_key=setup["size_factor_key"],
            require_labels=False,
            require_domains=False,
        )
        genes = registry[FIELD_REGISTRIES_KEY]["X"][STATE_REGISTRY_KEY]["column_names"]
        work = prepare_factors(adata, setup, genes)
        arguments = {k: v for k, v in registry.items() if k != FIELD_REGISTRIES_KEY}
        register_factors(work, arguments, registry)
        cls._remember(adata, work)

    def _parameters(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return dict(self.init_params_["non_kwargs"])
