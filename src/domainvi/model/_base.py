"""Base of the two models: data through prepared objects, rows by number, files without pickle."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass, VAEMixin

from domainvi._checks import check_positive, refuse_dangerous_fork
from domainvi._compat import FIELD_REGISTRIES_KEY, STATE_REGISTRY_KEY, parse_device_args
from domainvi.data import PreparedAnnData, check_unchanged
from domainvi.errors import InputError, NotTrainedError
from domainvi.explain import explain
from domainvi.inherited import (
    aggregated_posterior,
    differential_abundance,
    explained,
    marginal_likelihood,
    missing,
    view_arguments,
    view_setup,
)

from ._save import (
    INDICES,
    data_beside,
    load_model,
    read_registry,
    save_data_beside,
    save_model,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    import torch
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import ArrayLike, NDArray
    from scvi.data import AnnDataManager

    from domainvi.explain import Head, Method


class CohortModel(VAEMixin, BaseModelClass):
    """Answers scvi-tools' questions for data from prepared objects.

    scvi-tools writes codes and identifiers into the user's object and keeps every object that was
    ever set up alive. Here the user's object is only read, and a setup lives as long as the object
    it was made from.

    Parameters
    ----------
    adata
        Object that was passed to ``setup_anndata`` or ``setup_mudata``.
    registry
        Registry of a saved model, for loading without data.
    """

    seed: int
    is_trained_: bool
    history_: dict[str, pd.DataFrame] | None
    init_params_: dict[str, Any]
    registry_: dict[str, Any]
    train_indices: NDArray[np.int64]
    validation_indices: NDArray[np.int64]
    _adata: AnnData | MuData | None
    _model_summary_string: str

    _setups: ClassVar[dict[tuple[type, int], PreparedAnnData]] = {}

    @abstractmethod
    def _prepare_query(self, adata: AnnData | MuData) -> PreparedAnnData:
        """Prepare rows that the model was not set up with, genes matched by name."""

    @abstractmethod
    def _prepare_own(self, adata: AnnData | MuData) -> PreparedAnnData:
        """Prepare data that are attached to a loaded model as its own."""

    @classmethod
    @abstractmethod
    def _check_registry(cls, registry: dict[str, Any]) -> None:
        """Look at a registry from a file before a model is made of it."""

    @abstractmethod
    def _to_file(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what training left on the model: arrays by name, and values that JSON holds."""

    @abstractmethod
    def _from_file(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Take over what :meth:`_to_file` returned."""

    @abstractmethod
    def _head(self, prepared: PreparedAnnData, target: str | None) -> Head:
        """Return the head that ``target`` names, the main one if ``None``, for prepared rows."""

    @abstractmethod
    def _training_arguments(self) -> dict[str, Any]:
        """Arguments of the last training, to repeat it from another seed."""

    @abstractmethod
    def _make_room(self, metadata: dict[str, Any]) -> None:
        """Add the parts of the module that training adds, before weights are loaded."""

    @classmethod
    def _remember(cls, adata: AnnData | MuData, prepared: PreparedAnnData) -> None:
        key = (cls, id(adata))
        if key not in cls._setups:
            weakref.finalize(adata, cls._setups.pop, key, None)
        cls._setups[key] = prepared

    @classmethod
    def _get_most_recent_anndata_manager(
        cls, adata: AnnData, required: bool = False
    ) -> AnnDataManager | None:
        if isinstance(adata, PreparedAnnData):
            return adata.manager
        prepared = cls._setups.get((cls, id(adata)))
        if prepared is None and required:
            msg = f"adata is not set up. Call {cls.__name__}.setup_anndata(adata, ...) first."
            raise InputError(msg)
        return None if prepared is None else prepared.manager

    def _register_manager_for_instance(self, adata_manager: AnnDataManager) -> None:
        """Do nothing: a prepared object holds its manager."""

    def get_anndata_manager(self, adata: AnnData, required: bool = False) -> AnnDataManager | None:
        """Return the manager of the model's data or of a prepared object."""
        if isinstance(adata, PreparedAnnData):
            return adata.manager
        if adata is not None and adata is self._adata:
            return self._adata_manager
        return self._get_most_recent_anndata_manager(adata, required=required)

    def _validate_anndata(
        self, adata: AnnData | MuData | None = None, copy_if_view: bool = True
    ) -> PreparedAnnData:
        """Return the prepared form of ``adata``, of the model's own data if ``None``."""
        refuse_dangerous_fork()
        if isinstance(adata, PreparedAnnData):
            return adata
        if adata is None or adata is self._adata:
            own = self._own_data()
            prepared: PreparedAnnData = self._adata_manager.adata
            check_unchanged(own, prepared)
            return prepared
        return self._prepare_query(adata)

    @property
    def adata(self) -> AnnData | MuData | None:
        """The object that the model works on where none is passed.

        Another one may be assigned, as in scvi-tools: it needs the columns of the setup, and its
        genes are matched by name. Weights, scaling and calibration stay what they are.
        """
        return self._adata

    @adata.setter
    def adata(self, adata: AnnData | MuData) -> None:
        if adata is None:
            msg = "adata=None is no data. Assign an object, or load the model without data."
            raise InputError(msg)
        self._attach(adata)

    def _attach(self, adata: AnnData | MuData) -> None:
        """Make data the model's own, or leave everything as it was."""
        prepared = self._prepare_own(adata)
        own = self._adata
        self._adata, self._adata_manager = adata, prepared.manager
        self.summary_stats = prepared.manager.summary_stats
        if own is not None and not own.obs_names.equals(adata.obs_names):
            for name in INDICES:  # They were of rows that are no longer there.
                setattr(self, name, None)

    def view_anndata_setup(
        self, adata: AnnData | MuData | None = None, hide_state_registries: bool = False
    ) -> None:
        """Print what was set up: arguments, layer and columns, and the codes of categories.

        Parameters
        ----------
        adata
            The model's own data if ``None``; otherwise rows that its methods would take.
        hide_state_registries
            Leave out the categories and their codes.

        Examples
        --------
        >>> model.view_anndata_setup(hide_state_registries=True)
        Set up with DomainVI.setup_anndata:
        ...
        """
        registry = self.registry_
        if adata is not None and adata is not self._adata:
            registry = self._prepare_query(adata).manager.registry
        view_setup(registry, hide_states=hide_state_registries)

    def view_registry(self, hide_state_registries: bool = False) -> None:
        """Print what the model was set up with, which it knows without data as well.

        Examples
        --------
        >>> model.view_registry(hide_state_registries=True)
        Set up with DomainVI.setup_anndata:
        ...
        """
        view_setup(self.registry_, hide_states=hide_state_registries)

    def view_setup_method_args(self) -> None:
        """Print the arguments that the model was set up with.

        Examples
        --------
        >>> model.view_setup_method_args()
        Set up with DomainVI.setup_anndata:
        ...
        """
        view_arguments(self.registry_)

    @staticmethod
    def load_registry(dir_path: str | os.PathLike[str], prefix: str | None = None) -> dict:
        """Return the registry of a saved model, without loading its weights into one.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     registry = dv.DomainVI.load_registry(f"{folder}/model")
        >>> registry["setup_args"]["labels_key"]
        'label'
        """
        refuse_prefix(dir_path, prefix)
        return read_registry(dir_path)

    @staticmethod
    def view_setup_args(dir_path: str | os.PathLike[str], prefix: str | None = None) -> None:
        """Print what a saved model was set up with.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     dv.DomainVI.view_setup_args(f"{folder}/model")
        Set up with DomainVI.setup_anndata:
        ...
        """
        view_setup(CohortModel.load_registry(dir_path, prefix))

    @classmethod
    def convert_legacy_save(cls, dir_path: Any, output_dir_path: Any, **_: Any) -> None:
        """Refuse: models of DomainVI have one format, which :meth:`load` reads.

        Examples
        --------
        >>> try:
        ...     model.convert_legacy_save("old", "new")
        ... except dv.errors.InputError:
        ...     print("load it")
        load it
        """
        msg = (
            f"{cls.__name__}: {dir_path!s:.80} needs no conversion to {output_dir_path!s:.80}: "
            "all versions of DomainVI save in one format, without pickle. Use load(dir_path)."
        )
        raise InputError(msg)

    def update_setup_method_args(self, setup_method_args: dict[str, Any]) -> None:
        """Refuse: weights, scaling and codes were made for one setup.

        Examples
        --------
        >>> try:
        ...     model.update_setup_method_args({"layer": "counts"})
        ... except dv.errors.InputError:
        ...     print("set up anew")
        set up anew
        """
        msg = (
            f"The setup of a model does not change ({', '.join(map(str, setup_method_args))}). "
            "Call setup_anndata with the other arguments and make a new model."
        )
        raise InputError(msg)

    @classmethod
    def setup_annbatch(cls, *_: Any, **__: Any) -> None:
        """Refuse: backed files, zarr stores and dask arrays are read by ``setup_anndata`` itself.

        Examples
        --------
        >>> try:
        ...     dv.DomainVI.setup_annbatch(paths=["a.zarr"])
        ... except dv.errors.InputError:
        ...     print("set up a backed file")
        set up a backed file
        """
        msg = (
            f"{cls.__name__} reads large data without annbatch: pass an AnnData that is backed, "
            "or on zarr or dask, to setup_anndata."
        )
        raise InputError(msg)

    def deregister_manager(self, adata: AnnData | MuData | None = None) -> None:
        """Forget what was set up: of one object, or of all but the model's own.

        Nothing is kept alive by a setup, so this saves no memory unless objects stay in use.

        Examples
        --------
        >>> other = adata.copy()
        >>> dv.DomainVI.setup_anndata(other, batch_key="domain", labels_key="label")
        >>> model.deregister_manager(other)
        """
        for key in list(self._setups):
            kind, number = key
            is_meant = number != id(self._adata) if adata is None else number == id(adata)
            if kind is type(self) and is_meant:
                del self._setups[key]

    def transfer_fields(self, adata: AnnData | MuData, **_: Any) -> AnnDataManager:
        """Register other data as the methods of the model do it, and return their manager.

        Examples
        --------
        >>> model.transfer_fields(adata[:50].copy()).summary_stats.n_cells
        50
        """
        return self._prepare_query(adata).manager

    def get_from_registry(self, adata: AnnData | MuData, registry_key: str) -> NDArray:
        """Return registered values of data: ``"X"``, or codes of ``"batch"`` and ``"labels"``.

        Examples
        --------
        >>> model.get_from_registry(adata, "batch").shape
        (200, 1)
        """
        manager = self._validate_anndata(adata).manager
        if registry_key not in manager.data_registry:
            known = ", ".join(manager.data_registry)
            msg = f"registry_key={registry_key!r} is not registered. Use one of {known}."
            raise InputError(msg)
        return manager.get_from_registry(registry_key)

    def data_registry(self, registry_key: str) -> NDArray:
        """Return registered values of the model's own data; see :meth:`get_from_registry`.

        Examples
        --------
        >>> model.data_registry("labels").shape
        (200, 1)
        """
        return self.get_from_registry(self._own_data(), registry_key)

    def get_aggregated_posterior(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        batch_size: int | None = None,
        dof: float | None = 3.0,
    ) -> torch.distributions.MixtureSameFamily:
        """Mixture, in equal parts, of the latent posteriors of rows.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        batch_size
            Rows at a time.
        dof
            Degrees of freedom of Student's t components, with the means and standard deviations
            of the posteriors as location and scale; normal ones if ``None``.

        Examples
        --------
        >>> posterior = model.get_aggregated_posterior(indices=[0, 1, 2])
        >>> posterior.sample().shape
        torch.Size([32])
        """
        return aggregated_posterior(self, adata, indices, batch_size, dof)

    def differential_abundance(
        self,
        adata: AnnData | MuData | None = None,
        sample_key: str | None = None,
        batch_size: int = 128,
        num_cells_posterior: int | None = None,
        dof: float | None = None,
    ) -> None:
        """Log-density of each row under the aggregated posterior of each sample.

        As in scvi-tools, after MrVI (Boyeau et al., Nature Methods 2025).

        Parameters
        ----------
        adata
            Rows to score; the model's own data if ``None``.
        sample_key
            Column of ``adata.obs`` with the samples.
        batch_size
            Rows at a time.
        num_cells_posterior
            Rows at most, drawn at random, that stand for a sample.
        dof
            Degrees of freedom of the components; normal ones if ``None``.

        Returns
        -------
        Nothing. Writes ``adata.obsm["da_log_probs"]``, rows x samples.

        Examples
        --------
        >>> model.differential_abundance(sample_key="domain")
        >>> list(adata.obsm["da_log_probs"])
        ['domain_0', 'domain_1']
        """
        check_positive(batch_size=batch_size, num_cells_posterior=num_cells_posterior)
        differential_abundance(self, adata, str(sample_key), batch_size, num_cells_posterior, dof)

    @explained
    def get_marginal_ll(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        n_mc_samples: int = 1000,
        batch_size: int | None = None,
        return_mean: bool = True,
        n_mc_samples_per_pass: int = 1,
    ) -> float | torch.Tensor:
        """Log-likelihood of rows, by importance sampling with their posteriors.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        n_mc_samples
            Draws of each row. The estimate is from below, and rises with them.
        batch_size
            Rows at a time.
        return_mean
            Return the mean over rows; otherwise one value a row.
        n_mc_samples_per_pass
            Has no effect: draws are made one by one.

        Examples
        --------
        >>> model.get_marginal_ll(n_mc_samples=5, return_mean=False).shape
        torch.Size([200])
        """
        check_positive(n_mc_samples=n_mc_samples, batch_size=batch_size)
        found = marginal_likelihood(self, adata, indices, n_mc_samples, batch_size)
        return float(found.mean()) if return_mean else found

    def __getattr__(self, name: str) -> Any:
        """Say what takes the place of what scvi-tools has; called where there is no attribute."""
        missing(type(self), name)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the trainer of the last training, which cannot be pickled and is not needed."""
        return {name: value for name, value in vars(self).items() if name != "trainer"}

    def _own_data(self) -> AnnData | MuData:
        if self._adata is None:
            msg = "The model was loaded without data. Pass adata=..."
            raise InputError(msg)
        return self._adata

    def _require_manager(self) -> AnnDataManager:
        self._own_data()
        return self._adata_manager

    def _state(self, key: str) -> dict[str, Any]:
        """State that a field has in the registry."""
        return self.registry_[FIELD_REGISTRIES_KEY][key][STATE_REGISTRY_KEY]

    @cached_property
    def genes(self) -> list[str]:
        """Genes of the model, in its order."""
        return [str(g) for g in np.asarray(self._state(REGISTRY_KEYS.X_KEY)["column_names"])]

    def _check_trained(self) -> None:
        if not self.is_trained_:
            msg = "The model is not trained. Call model.train() first."
            raise NotTrainedError(msg)

    def _check_genes(self, prepared: PreparedAnnData, method: str) -> None:
        """Refuse rows that lack genes of the model, to methods that would take zeros for values."""
        if prepared.gene_mask.all():
            return
        if missing := prepared.n_missing_genes():
            msg = (
                f"The data lack {missing} of {len(prepared.gene_mask)} genes of the model, and "
                f"{method} needs all. Add them, or use predict, annotate or "
                "get_latent_representation, which mask missing genes."
            )
            raise InputError(msg)

    def _row_numbers(
        self, prepared: PreparedAnnData, indices: Sequence | NDArray | None
    ) -> NDArray[np.int64]:
        """Row numbers from numbers, a mask, or ``None`` for all rows."""
        n_obs = prepared.n_obs
        if indices is None:
            return np.arange(n_obs)
        rows = np.asarray(indices)
        if rows.dtype == bool and rows.ndim == 1:
            if len(rows) != n_obs:
                msg = f"indices is a mask of length {len(rows)}, but there are {n_obs} rows."
                raise InputError(msg)
            return np.flatnonzero(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            msg = (
                f"indices holds {rows.dtype} values in {rows.ndim} dimensions; expected a list of "
                "row numbers, or a mask of booleans."
            )
            raise InputError(msg)
        rows = rows.astype(np.int64)
        if rows.size and (rows.min() < -n_obs or rows.max() >= n_obs):
            msg = f"indices holds {rows.min()} to {rows.max()}, but there are {n_obs} rows."
            raise InputError(msg)
        return rows % max(n_obs, 1)

    def _parameters(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return dict(self.init_params_["non_kwargs"])

    def explain(
        self,
        adata: AnnData | None = None,
        *,
        method: Method = "deeplift",
        indices: Sequence[int] | Sequence[bool] | None = None,
        classes: Sequence[str] | None = None,
        groupby: str | None = None,
        target: str | None = None,
        baseline: Literal["domain", "global", "zero"] | ArrayLike = "domain",
        stability: int = 0,
        n_steps: int = 64,
        batch_size: int | None = None,
        write_varm: bool | str = False,
    ) -> pd.DataFrame:
        r"""Attribute predictions to genes.

        What is explained is what :meth:`predict` answers, linear members and mixture included: for
        each row, :math:`\log p_k - \log p_r` of the class :math:`k` that it is called against the
        runner-up :math:`r`. It is a function of the row's log values :math:`u`; of counts, these
        are log-normalised with the library size held fixed. The attributions of a row sum to its
        score minus that of its baseline.

        Parameters
        ----------
        adata
            Rows to explain; the model's own if ``None``. New cohorts and missing genes are treated
            as in :meth:`predict`; missing genes get 0.
        method
            ``"deeplift"`` (Shrikumar et al., ICML 2017), one backward pass, complete up to rounding
            (:class:`~domainvi.explain.Paired` has the rules). ``"integrated_gradients"``
            (Sundararajan et al., ICML 2017); rows whose sum is off by more than 5e-4 get up to 32
            times the steps.
            ``"gradient_shap"`` (Erion et al., Nature Machine Intelligence 2021): gradients at
            random points between the row and random rows of the baseline's kind; complete on
            average.
        indices
            Row numbers or a mask; all rows if ``None``.
        classes
            Explain only rows that are called one of these; of a target with values, only these
            columns.
        groupby
            Column of ``obs``: one column of the result for each of its groups, instead of one for
            each class.
        target
            ``None`` for the main phenotype or factor; ``"latent"`` for the posterior means, before
            centring; or another phenotype or factor of the model.
        baseline
            What rows are compared with. ``"domain"``: the mean of the class means of the row's own
            domain, by predicted class. ``"global"``: the mean of all rows. ``"zero"``: no
            expression. Or one log value a gene, in the order of the model. The last three attribute
            differences between cohorts too.
        stability
            Models to train anew, from other seeds, for the rank correlation of their attributions
            with each other and with these. Needs the model's own data.
        n_steps
            Steps of integrated gradients to begin with, or draws of gradient SHAP, a row.
        batch_size
            Rows at a time; by default as many as keep memory under a gigabyte.
        write_varm
            Write the result to ``varm`` of the data, under this name or, if ``True``, under
            ``"<labels_key>_attribution"``, ``"latent_attribution"`` or ``"<target>_attribution"``.
            Genes that the model does not know get NaN.

        Returns
        -------
        Genes x classes (or groups, or latents): the mean over the rows that are called the class
        (or are in the group); NaN where there are none. For values, which have no runner-up,
        attributions are of the distance from the baseline: those of rows below it are turned round,
        so that ups and downs do not cancel. ``.attrs`` holds plain dicts by column:

        - ``n_rows``, ``score``: rows, and mean difference of score that the column sums to;
        - ``tied_share``: the share of the rows' absolute attribution that falls on the tenth of
          genes whose variance within predicted classes the domain explains best; 0.1 would be
          chance; absent for one domain;
        - ``low``: of the 50 genes with the largest attribution those that are lower in the rows
          than in what these are compared with: their absence speaks for the class;
        - ``stability``: mean Spearman correlation over pairs of models; with ``stability`` only;

        besides ``method``, ``target``, ``baseline`` and ``incompleteness``, the largest difference
        between a row's sum and its score; absent for gradient SHAP.

        Raises
        ------
        InputError
            If an argument cannot be used, or captum is not installed.
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> genes = model.explain()
        >>> genes.shape
        (60, 4)
        >>> adata.var.loc[genes["class_0"].idxmax(), "marker_of"]
        'class_0'
        """
        if stability:
            self._training_arguments()  # Refuses what cannot be repeated, before the work.
        return explain(
            self,
            adata,
            method=method,
            indices=indices,
            classes=classes,
            groupby=groupby,
            target=target,
            baseline=baseline,
            stability=stability,
            n_steps=n_steps,
            batch_size=batch_size,
            write_varm=write_varm,
        )

    def _retrained(self, seed: int) -> Self:
        """Train a model with the same arguments on the same rows from another seed."""
        arguments = self._training_arguments()
        other = type(self)(self._validate_anndata(), **(self._parameters() | {"seed": seed}))
        accelerator = "cpu" if self.module.device.type == "cpu" else "auto"
        other.train(**arguments, accelerator=accelerator, enable_progress_bar=False)
        return other

    @explained
    def save(
        self,
        dir_path: str | os.PathLike[str],
        overwrite: bool = False,
        save_anndata: bool = False,
        prefix: str | None = None,
    ) -> None:
        """Save the model to a directory.

        Parameters
        ----------
        dir_path
            Directory to write: ``model.json`` and one safetensors file. A crash leaves the old
            model or the new one. Of processes that train together only the first writes.
        overwrite
            Replace a DomainVI model in this directory.
        save_anndata
            Write the model's own data beside it, as ``adata.h5ad`` or ``mdata.h5mu``, which
            :meth:`load` then attaches.
        prefix
            Not in use: each model has a directory of its own.

        Raises
        ------
        ModelFileError
            If the directory exists already, or cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     loaded = dv.DomainVI.load(f"{folder}/model")
        >>> bool((loaded.predict(adata) == model.predict()).all())
        True
        """
        refuse_prefix(dir_path, prefix)
        data = self._own_data() if save_anndata else None
        save_model(self, dir_path, overwrite=overwrite)
        if data is not None:
            save_data_beside(data, dir_path)

    @classmethod
    @explained
    def load(
        cls,
        dir_path: str | os.PathLike[str],
        adata: AnnData | MuData | Literal[False] | None = None,
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
            ``None`` takes those that ``save(..., save_anndata=True)`` wrote, if there are any.
            Without data, or with ``False``, the model predicts for those passed to its methods.
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
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model")
        ...     loaded = dv.DomainVI.load(f"{folder}/model")
        >>> loaded.classes == model.classes
        True
        """
        model = load_model(cls, dir_path)
        adata = data_beside(dir_path) if adata is None else adata
        if adata is not None and adata is not False:
            model._attach(adata)
            cls._remember(adata, model._adata_manager.adata)
        *_, place = parse_device_args(accelerator, device, "torch", validate_single_device=True)
        model.to_device(place)
        return model


def refuse_prefix(dir_path: str | os.PathLike[str], prefix: str | None) -> None:
    """Refuse to tell models in one directory apart by the beginnings of their names."""
    if prefix:
        msg = (
            f"prefix={prefix!r}: each model has a directory of its own. Use "
            f"'{dir_path!s:.80}/{prefix}' as dir_path."
        )
        raise InputError(msg)
