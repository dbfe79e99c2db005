"""DomainVI, the main model: a facade, whose methods call functions on it."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS
from scvi.model.base import ArchesMixin

from domainvi._checks import (
    check_choice,
    check_dropout_rate,
    check_seed,
    check_sizes,
    refuse_dangerous_fork,
)
from domainvi._compat import SETUP_ARGS_KEY, SETUP_METHOD_KEY
from domainvi._keys import LABEL_TREE, SET_ASIDE
from domainvi.data import (
    MODALITIES,
    LabelTree,
    check_setup,
    flat_mudata,
    label_levels,
    prepare,
    to_tensors,
)
from domainvi.errors import InputError
from domainvi.inherited import differential_expression, explained, from_scvi_model
from domainvi.module import EXTRA_DOMAINS_KEY, DomainVAE, heads_of
from domainvi.pretraining import full_history, pretrain, pretrained_representation, start_from
from domainvi.train import chosen_seed, seeded

from ._annotate import annotate
from ._base import CohortModel
from ._decode import (
    draw_expression,
    feature_correlation,
    latent_library_size,
    likelihood_parameters,
    normalized_expression,
    predictive_draws,
    refuse_undecodable,
)
from ._diagnosis import diagnose, prediction_sets, suggest_labels
from ._fitted import Fitted, fitted_for
from ._inference import (
    at_level,
    best_names,
    forward,
    labels_of,
    level_number,
    outputs,
    patterns,
    probabilities,
    restricted,
)
from ._lazy import annotate_lazy
from ._phenotypes import head_of, predict_phenotype, training_arguments
from ._posthoc import show_guard
from ._query import all_row_ids, freeze, genes_of, map_query, with_genes
from ._setup import (
    classes_set_aside,
    columns_of,
    modality_sizes,
    prepare_own,
    prepare_query,
    refuse_several,
    register,
    registered_phenotypes,
    resolve_likelihood,
)
from ._starting import fit_starting_values
from ._training import train

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import Self

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray
    from scvi.dataloaders import AnnDataLoader
    from sparse import GCXS

    from domainvi.data import Phenotype, PreparedAnnData
    from domainvi.explain import Head

LikelihoodName = Literal["auto", "normal", "nb", "zinb", "poisson"]


class DomainVI(ArchesMixin, CohortModel):
    """Move phenotype labels between RNA-seq cohorts, and say when not to trust them.

    A variational autoencoder whose latents do not know the cohort, with a phenotype head, a domain
    adversary that belongs to the module, and linear members fitted to the same rows. The losses
    are written down in :class:`~domainvi.module.DomainVAE`.

    Parameters
    ----------
    adata
        Object that was passed to :meth:`setup_anndata` or :meth:`setup_mudata`.
    registry
        Registry of a saved model, for loading without data.
    n_latent
        Dimensions of the latent space.
    n_hidden, n_layers
        Width and number of hidden layers of encoder and decoder.
    n_components
        Width of the encoder's projection, which starts at principal components.
    dropout_rate
        Dropout rate of the encoder.
    likelihood
        ``"nb"``, ``"zinb"`` or ``"poisson"`` for counts, ``"normal"`` for values on a log scale;
        ``"auto"`` takes ``"nb"`` for whole numbers and ``"normal"`` otherwise. Of several
        modalities a dict by name, or one for all.
    scaling
        How rows are standardised before they are encoded. ``"mix"``: each domain by its own mean
        and standard deviation, as they would be if it had the class mix of the labelled domains,
        and by its labelled rows where a target has some. ``"domain"``: each domain by its own mean
        and standard deviation. ``"global"``: all domains by those of the labelled ones. Statistics
        come from the rows of ``adata``, labelled or not, and are saved with the model.
    adversary
        ``"conditional"`` (on the class), ``"marginal"``, ``"wasserstein"`` or ``"none"``; see
        :class:`~domainvi.module.DomainAlignment`.
    seed
        Random seed for initial weights, split, batches and training noise; ``scvi.settings.seed``
        if ``None``, and 0 if that has none either.
    pretrain_from
        Directory of a saved model whose encoder this one starts from, matched by gene name; see
        :meth:`pretrain`. Both need the same ``n_latent``, ``n_hidden``, ``n_layers`` and
        ``n_components``.

    Notes
    -----
    The user's object is read and never written, except by :meth:`annotate` and by methods of
    scvi-tools that are there to change it (:meth:`prepare_query_anndata`). Setup reads its
    columns as they are at that moment. When rows were removed, reordered or renamed in place since,
    or values changed, methods refuse it and take a copy, which is read anew.

    Examples
    --------
    >>> adata = dv.data.synthetic_cohorts(n_obs=300, n_genes=100, seed=1)
    >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    >>> model = dv.DomainVI(adata)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.predict(soft=True).shape
    (300, 4)
    >>> model.annotate(adata)
    >>> adata.obsm["X_domainvi"].shape
    (300, 32)
    """

    @explained
    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: dict[str, Any] | None = None,
        n_latent: int = 32,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_components: int = 100,
        dropout_rate: float = 0.1,
        likelihood: LikelihoodName | dict[str, LikelihoodName] = "auto",
        scaling: Literal["mix", "domain", "global"] = "mix",
        adversary: Literal["conditional", "marginal", "wasserstein", "none"] = "conditional",
        seed: int | None = None,
        pretrain_from: str | os.PathLike[str] | None = None,
    ) -> None:
        check_sizes(
            n_latent=n_latent, n_hidden=n_hidden, n_layers=n_layers, n_components=n_components
        )
        check_choice("scaling", scaling, ("mix", "domain", "global"))
        seed = chosen_seed(seed)
        check_seed(seed)
        check_dropout_rate(dropout_rate)
        refuse_dangerous_fork()
        super().__init__(adata, registry)
        if adata is not None:
            likelihood = resolve_likelihood(self, self._validate_anndata().X, likelihood)
        self.likelihood, self.scaling, self.seed = likelihood, scaling, seed
        self.fitted = fitted_for(self, adata)
        with seeded(seed, devices=[]):
            self.module = DomainVAE(
                n_input=modality_sizes(self) if len(self.modalities) > 1 else len(self.genes),
                n_domains=[len(self.domains), *self._levels(EXTRA_DOMAINS_KEY)],
                n_classes=len(self.classes),
                n_cats_per_cov=self._levels(REGISTRY_KEYS.CAT_COVS_KEY),
                n_continuous_cov=self.summary_stats.get("n_extra_continuous_covs", 0),
                n_latent=n_latent,
                n_hidden=n_hidden,
                n_layers=n_layers,
                n_components=n_components,
                dropout_rate=dropout_rate,
                likelihood=likelihood,
                adversary=adversary,
                phenotypes=self.phenotypes,
            )
        if pretrain_from is not None:
            start_from(self, pretrain_from)
            pretrain_from = None  # Weights are saved with the model, not looked up again.
        # Saved models are rebuilt without data, so the resolved likelihood is what counts.
        self.init_params_ = self._get_init_params(locals())
        self._model_summary_string = (
            f"DomainVI: {len(self.genes)} genes, {len(self.domains)} domains, "
            f"{len(self.classes)} classes, n_latent: {n_latent}, likelihood: {likelihood}, "
            f"scaling: {scaling}, adversary: {adversary}"
        )

    def _prepare_query(self, adata: AnnData | MuData) -> PreparedAnnData:
        return prepare_query(self, adata)

    def _prepare_own(self, adata: AnnData | MuData) -> PreparedAnnData:
        prepared = prepare_own(self, adata)
        self.fitted.row_ids = all_row_ids(self)  # Of the data before, which may be gone.
        return prepared

    @classmethod
    def _check_registry(cls, registry: dict[str, Any]) -> None:
        columns_of(registry[SETUP_ARGS_KEY])

    def _to_file(self) -> tuple[dict[str, Any], dict[str, Any]]:
        parts = self.module.modalities.parts
        tensors, values = self.fitted.to_file(all_row_ids(self))
        return tensors, values | {"n_members": {k: m.linear.n_members for k, m in parts.items()}}

    def _from_file(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.fitted = Fitted.from_file(tensors, metadata, self.classes, self.phenotypes)
        known = set(range(len(patterns(len(self.module.modalities.parts)))))
        by_pattern = (self.fitted.calibration, self.fitted.unknown, self.fitted.sets)
        if wrong := set().union(*by_pattern) - known:
            msg = f"sets of modalities are numbered {sorted(wrong)}"
            raise ValueError(msg)
        if (n_old := self.fitted.n_reference_domains) is not None:
            if not 0 < n_old <= len(self.domains):
                msg = f"{n_old} reference domains of {len(self.domains)}"
                raise ValueError(msg)
            freeze(self, n_old)
        if self.is_trained_:
            show_guard(self)

    def _refuse_several(self, method: str) -> None:
        refuse_several(self, method)

    def _labels(self, prepared: PreparedAnnData) -> NDArray[np.int64]:
        return labels_of(self, prepared)

    def _latent_means(
        self, prepared: PreparedAnnData, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        return forward(self, prepared, rows, wanted=()).mean

    def _fit_starting_values(self, prepared: PreparedAnnData) -> None:
        fit_starting_values(self, prepared)

    def _head(self, prepared: PreparedAnnData, target: str | None) -> Head:
        return head_of(self, prepared, target)

    def _training_arguments(self) -> dict[str, Any]:
        return training_arguments(self)

    def _make_room(self, metadata: dict[str, Any]) -> None:
        for name, modality in self.module.modalities.parts.items():
            modality.set_linear_members(metadata["n_members"][name])

    def _make_data_loader(self, adata: PreparedAnnData, *args: Any, **kwargs: Any) -> AnnDataLoader:
        """Load rows for methods that decode, and so need a domain that the decoder knows."""
        refuse_undecodable(self, adata)
        kwargs.setdefault("collate_fn", to_tensors)
        return super()._make_data_loader(adata, *args, **kwargs)

    @classmethod
    @explained
    def setup_anndata(
        cls,
        adata: AnnData,
        batch_key: str | Sequence[str] | None = None,
        labels_key: str | Sequence[str] | None = None,
        *,
        label_tree: Mapping[str, str] | pd.DataFrame | None = None,
        target_keys: Sequence[str] | None = None,
        unlabeled_category: str = "Unknown",
        layer: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
    ) -> None:
        """Register the fields of an AnnData object.

        Parameters
        ----------
        adata
            Rows are samples or cells; views, backed files and every sparse format are read.
            Nothing is written to it.
        batch_key
            Column of ``adata.obs`` with the domain: cohort, study, platform. A list gives one
            adversary each; the first is the one by which rows are standardised. A single cohort
            aligns nothing; others are standardised when they are predicted. ``None`` for rows of
            one cohort, some of them labelled, where rows that are predicted later are of the same
            cohort, too.
        labels_key
            Column with the main phenotype, which has to be given. Columns from coarse to fine, such
            as ``["lineage", "type"]``, for labels of several depths: rows may stop at any of them,
            and the last names the phenotype.
        label_tree
            Parent of each name, where a single column has names of several depths: a dict, or a
            frame with the columns child and parent. A parent that is empty, missing or the name
            itself is none.
        target_keys
            Columns with auxiliary phenotypes, names or numbers, whose values may be missing. Each
            gets a head on the latents and a linear member, trained with everything else
            (:class:`~domainvi.module.PhenotypeHeads`).
        unlabeled_category
            Rows with this value, or with a missing value, are unlabelled.
        layer
            Layer with the expression values; ``adata.X`` if ``None``.
        size_factor_key
            Column with library sizes, for counts; row sums if ``None``.
        categorical_covariate_keys, continuous_covariate_keys
            Columns that the decoder is given besides the domain.

        Raises
        ------
        InputError
            If something cannot be used; the message says what, and how to mend it.

        Examples
        --------
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> dv.DomainVI(adata).domains
        ['domain_0', 'domain_1']
        """
        target_keys = [target_keys] if isinstance(target_keys, str) else list(target_keys or [])
        if labels_key is None:
            msg = (
                "labels_key=None: DomainVI learns labels, of which some are needed. Name their "
                "column; for latents without any use scvi.model.SCVI."
            )
            raise InputError(msg)
        key, tree = label_levels(adata, labels_key, label_tree, unlabeled_category)
        batch_keys: list[Any] = (
            list(batch_key) if isinstance(batch_key, list | tuple) else [batch_key]
        )
        batch_keys = [] if batch_key is None else batch_keys
        check_setup(
            adata,
            batch_keys=batch_keys,
            labels_key=key,
            unlabeled_category=unlabeled_category,
            layer=layer,
            target_keys=target_keys,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
            require_domains=batch_key is not None,
        )
        arguments = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            batch_key=batch_keys if len(batch_keys) > 1 else batch_key and batch_keys[0],
            labels_key=key,
            target_keys=target_keys,
            unlabeled_category=unlabeled_category,
            layer=layer,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=list(categorical_covariate_keys or []),
            continuous_covariate_keys=list(continuous_covariate_keys or []),
        )
        arguments[SETUP_ARGS_KEY][LABEL_TREE] = tree and tree.to_dict()
        columns = columns_of(arguments[SETUP_ARGS_KEY])
        arguments[SETUP_ARGS_KEY][SET_ASIDE] = classes_set_aside(adata, columns)
        prepared = prepare(adata, columns)
        register(prepared, columns, arguments)
        cls._remember(adata, prepared)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        batch_key: str | Sequence[str] | None = None,
        labels_key: str | Sequence[str] | None = None,
        *,
        modalities: str | Sequence[str] | Mapping[str, str | None] | None = None,
        **columns: Any,
    ) -> None:
        """Register the fields of a MuData object.

        Parameters
        ----------
        mdata
            Rows are samples or cells, of which each modality may lack some. Nothing is written to
            it. Columns are those of ``mdata.obs``; ``mdata.pull_obs()`` brings those of a modality
            there.
        batch_key, labels_key
            Columns of domains and of the main phenotype, as :meth:`setup_anndata` takes them.
        modalities
            Which modalities to use, one to four: names, or a dict of names and the layers with
            their values (``None`` for ``X``). All of them if ``None``. A model of one modality is
            the same as that of an AnnData. A model of several has a latent space in common
            (:class:`~domainvi.module.Modalities`), and predicts from whichever are there.
        **columns
            Further arguments of :meth:`setup_anndata`. A size factor and auxiliary phenotypes need
            a single modality.

        Raises
        ------
        InputError
            If something cannot be used; the message says what, and how to mend it.

        Notes
        -----
        scvi-tools' ``modalities`` maps arguments to modalities, as its models know which ones they
        take; here any will do, so it names the modalities themselves.

        Examples
        --------
        >>> from mudata import MuData
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=90, seed=1)
        >>> mdata = MuData({"rna": adata[:, :60].copy(), "mirna": adata[:150, 60:].copy()})
        >>> mdata.obs = adata.obs[["domain", "label"]]
        >>> dv.DomainVI.setup_mudata(mdata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(mdata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.annotate(mdata)
        >>> mdata.obsm["X_domainvi"].shape
        (200, 32)
        >>> len(model.predict(mdata["mirna"]))
        150
        """
        flat, chosen = flat_mudata(mdata, modalities, columns)
        cls.setup_anndata(flat, batch_key, labels_key, **columns)
        prepared = cls._setups[(cls, id(flat))]
        prepared.manager.registry[SETUP_METHOD_KEY] = "setup_mudata"
        prepared.manager.registry[SETUP_ARGS_KEY][MODALITIES] = chosen
        cls._remember(mdata, prepared)

    @classmethod
    def from_scvi_model(
        cls,
        scvi_model: Any,
        unlabeled_category: str,
        labels_key: str | None = None,
        adata: AnnData | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Make a model on the data of an SCVI model, set up alike.

        Columns, layer, likelihood and ``n_latent`` are those of the SCVI model. Its weights are
        not taken, since the encoder of DomainVI reads other inputs; a line in the log says so.

        Parameters
        ----------
        scvi_model
            A model of scvi-tools, trained or not.
        unlabeled_category
            Rows with this value, or with a missing value, are unlabelled.
        labels_key
            Column with the labels; that of the SCVI model if ``None``.
        adata
            Other data with the same columns; those of the SCVI model if ``None``.
        **model_kwargs
            Further arguments of the model.

        Returns
        -------
        A model to be trained.

        Examples
        --------
        >>> import scvi
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> scvi.model.SCVI.setup_anndata(adata, batch_key="domain")
        >>> first = scvi.model.SCVI(adata, n_latent=8)
        >>> dv.DomainVI.from_scvi_model(first, "Unknown", labels_key="label").module.n_latent
        8
        """
        return from_scvi_model(cls, scvi_model, unlabeled_category, labels_key, adata, model_kwargs)

    @cached_property
    def modalities(self) -> list[str]:
        """Modalities of the model; empty if it was set up with an AnnData."""
        return list(self.registry_[SETUP_ARGS_KEY].get(MODALITIES) or ())

    @cached_property
    def classes(self) -> list[str]:
        """Classes of the main phenotype, in the order of the codes."""
        return [str(c) for c in self._state(REGISTRY_KEYS.LABELS_KEY)["categorical_mapping"][:-1]]

    @cached_property
    def label_tree(self) -> LabelTree | None:
        """Tree of the classes of the main phenotype; ``None`` where its labels have one level."""
        return LabelTree.of_setup(self.registry_[SETUP_ARGS_KEY])

    @cached_property
    def domains(self) -> list[str]:
        """Levels of the main domain column, in the order of the codes."""
        return [str(d) for d in self._state(REGISTRY_KEYS.BATCH_KEY)["categorical_mapping"]]

    @cached_property
    def phenotypes(self) -> tuple[Phenotype, ...]:
        """Auxiliary phenotypes, those of ``target_keys``."""
        return registered_phenotypes(self.registry_)

    def _levels(self, key: str) -> list[int]:
        """Numbers of levels of jointly registered columns."""
        return [int(n) for n in self._state(key).get("n_cats_per_key", [])]

    def pretrain(
        self,
        method: Literal["scarf", "vime", "byol"] = "vime",
        max_epochs: int | None = None,
        preset: Literal["paper"] | None = None,
        adata: AnnData | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Pretrain the encoder on every row, labelled or not, before :meth:`train`.

        Values of the rows are corrupted, and the encoder learns to recognise the row
        (``"scarf"``: Bahri et al., ICLR 2022), to foresee an averaged encoder's view of it
        (``"byol"``: Grill et al., NeurIPS 2020), or to find and undo the corruption (``"vime"``:
        Yoon et al., NeurIPS 2020); on bulk RNA-seq they are compared in arXiv 2507.13912. No label
        enters the loss. Input scaling and starting values are those of :meth:`train`, which
        afterwards leaves the encoder as it finds it.

        Parameters
        ----------
        method
            What the encoder learns from. ``"vime"`` did best where at most five rows a class were
            labelled (``benchmarks/pretraining``).
        max_epochs
            Passes over the rows; an epoch has at least 20 steps.
        preset
            ``None`` for settings that suit cohorts of hundreds of rows, ``"paper"`` for those of
            the published code. Its encoder was ``DomainVI(adata, n_hidden=256, n_layers=4)``.
        adata
            More rows, for pretraining only: no labels are needed, genes are matched by name, and
            cohorts that this model does not know are standardised by their own rows.
        accelerator, devices
            Arguments of :class:`lightning.pytorch.Trainer`.
        batch_size
            Rows a step.
        plan_kwargs
            Other fields of :class:`~domainvi.pretraining.PretrainingSettings`, corruption rate and
            temperature for instance.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`, ``enable_progress_bar`` for instance.

        Returns
        -------
        Nothing. ``model.history`` gets ``pretraining_loss``, ``pretraining_effective_rank``,
        ``pretraining_alignment`` and ``pretraining_uniformity``, one value an epoch.

        Warns
        -----
        UserWarning
            If the embedding has collapsed, with the remedy.

        Raises
        ------
        InputError
            If an argument cannot be used, or the model is trained already.
        TrainingError
            If the loss becomes NaN or infinite.

        Examples
        --------
        >>> model = dv.DomainVI(adata)
        >>> model.pretrain(max_epochs=2, enable_progress_bar=False)
        >>> len(model.history["pretraining_effective_rank"])
        2
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        """
        pretrain(
            self,
            method,
            max_epochs,
            preset,
            adata,
            accelerator,
            devices,
            batch_size,
            plan_kwargs,
            **trainer_kwargs,
        )

    def get_pretrained_representation(
        self, adata: AnnData | None = None, indices: Sequence[int] | Sequence[bool] | None = None
    ) -> NDArray[np.float32]:
        """Latent means after :meth:`pretrain`, before or after :meth:`train`.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``. Genes are matched by name.
        indices
            Row numbers or a mask; all rows if ``None``.

        Returns
        -------
        Array of shape ``(n_rows, n_latent)``, float32.

        Raises
        ------
        InputError
            If there was no pretraining.

        Examples
        --------
        >>> model = dv.DomainVI(adata)
        >>> model.pretrain(max_epochs=1, enable_progress_bar=False)
        >>> len(model.get_pretrained_representation())
        200
        """
        return pretrained_representation(self, adata, indices)

    @property
    def history(self) -> dict[str, pd.DataFrame] | None:
        """Losses and other numbers of pretraining and training, one row an epoch."""
        return full_history(self.fitted.pretraining, self.history_)

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float = 0.9,
        batch_size: int = 128,
        early_stopping: bool = True,
        force_alignment: bool = False,
        validation_size: float | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        The design is audited first: when classes and domains are confounded, nothing is aligned
        unless ``force_alignment`` is set. Input scaling and linear members are fitted, the network
        is trained, and calibration, unknown score and the guard's record are fitted post hoc.

        Parameters
        ----------
        max_epochs
            Passes over the training rows; an epoch has at least 20 steps. By default 20 for up to
            15,000 rows, and for more as many as let 300,000 rows pass, at least 2.
        accelerator, devices
            Arguments of :class:`lightning.pytorch.Trainer`.
        train_size
            Share of rows to train on; the others are held out, stratified by domain and class.
        batch_size
            Rows a step on each device: half of them labelled, with classes and domains balanced.
        early_stopping
            Stop when the loss of held-out rows has not improved for 10 epochs, counted from the end
            of as many epochs as by default. Until then the adversary's weight rises.
        force_alignment
            Align domains even where the audit refuses.
        validation_size
            Share of rows held out for validation; what is left of ``train_size`` if ``None``. Of
            other rows the labels are not read, so that they can serve as a test; their values
            take part as those of unlabelled rows do, in input scaling and linear members.
        datasplitter_kwargs
            ``{"external_indexing": [train, validation]}`` with row numbers, as in scvi-tools, to
            split by hand; rows that are in neither are such a test. A third list may name them.
        plan_kwargs
            Arguments of :class:`~domainvi.train.DomainTrainingPlan`: learning rate and weights of
            the terms.
        checkpoint_dir
            Folder for a checkpoint, replaced in one step between epochs; ``None`` writes none.
        checkpoint_every
            Epochs between checkpoints.
        resume
            Go on from the checkpoint in ``checkpoint_dir``, with the same data and arguments; from
            the start if there is none yet. On one CPU thread the weights become those of a
            training that was never interrupted, bit for bit, unless rows are read from a file
            as they are needed, since these are drawn anew.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`, ``enable_progress_bar`` for instance, or
            ``strategy="ddp"`` to train on several devices; ``precision="bf16-mixed"`` is allowed.

        Returns
        -------
        Nothing. Losses of each epoch are in ``model.history``, with the accuracy of the domain
        head beside its chance level.

        Raises
        ------
        InputError
            If an argument is out of range, before anything is changed, or if no gene varies.
        TrainingError
            If a loss becomes NaN or infinite: names the step, the rows and the term.
        ModelFileError
            If a checkpoint cannot be written, or is damaged.
        KeyboardInterrupt
            After Ctrl-C, which ends training after the current step.

        Notes
        -----
        After an interrupt, a numerical fault or a full disk the model has the weights of its best
        epoch, the one with the lowest loss of held-out rows, and can be used.
        When no epoch was finished, an interrupted model keeps the weights that it had reached, and
        otherwise it is as it was before.

        Examples
        --------
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.is_trained
        True
        """
        train(
            self,
            max_epochs,
            accelerator,
            devices,
            train_size=train_size,
            validation_size=validation_size,
            datasplitter_kwargs=datasplitter_kwargs,
            batch_size=batch_size,
            early_stopping=early_stopping,
            force_alignment=force_alignment,
            plan_kwargs=plan_kwargs,
            checkpoint_dir=checkpoint_dir,
            checkpoint_every=checkpoint_every,
            resume=resume,
            trainer_kwargs=trainer_kwargs,
        )

    @explained
    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        return_dist: bool = False,
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Domain-invariant latents.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``. Genes are matched by name, and
            cohorts that were not in training are welcome.
        indices
            Row numbers or a mask; all rows if ``None``. Any order; rows come back in it.
        give_mean
            The mean of ``q(z | x)``, centred by class and domain where the model centres
            (:class:`~domainvi.linear.Centring`); otherwise one draw around it, the
            same at each call.
        batch_size
            Rows at a time.
        return_dist
            Return that mean and the variance of ``q(z | x)``.

        Returns
        -------
        Array of shape ``(n_rows, n_latent)``, float32; two of them with ``return_dist``.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        GeneMatchError
            If too few genes match.

        Examples
        --------
        >>> model.get_latent_representation().shape
        (200, 32)
        """
        wanted = ("variance",) if return_dist or not give_mean else ()
        out = outputs(self, adata, indices, batch_size, wanted=wanted)
        if return_dist:
            return out.latent, out.variance
        if give_mean:
            return out.latent
        draw = np.random.default_rng(self.seed).standard_normal(out.latent.shape)
        return (out.latent + np.sqrt(out.variance) * draw).astype(np.float32)

    @explained
    def predict(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        calibrated: bool = True,
        target: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> NDArray[np.str_] | NDArray[np.float32] | pd.DataFrame:
        """Predict the main phenotype, or an auxiliary one.

        Parameters
        ----------
        adata
            Rows to predict; the model's own data if ``None``. Genes are matched by name. A cohort
            that was not in training is standardised by what its rows say of its composition.
            A model of several modalities takes a MuData with any of them, or an AnnData of one;
            rows that have none of them are left out.
        indices
            Row numbers or a mask; all rows if ``None``.
        soft
            Return probabilities.
        batch_size
            Rows at a time.
        calibrated
            Whether probabilities are calibrated.
        target
            One of the ``target_keys`` of the setup, or a column of its ``labels_key``: the main
            phenotype at that level. The main phenotype, at its finest level, if ``None``.
        classes
            Classes of the main phenotype that can be there, such as those of a tissue. The others
            get the probability 0, and those of a row sum to 1 again. All of them if ``None``.

        Returns
        -------
        One class name a row, or with ``soft`` a frame of probabilities, rows by ``obs_names`` and
        columns by class in the order of the reference. Labelled rows are predicted as well. For a
        numeric target the values, or with ``soft`` a frame with ``value`` and ``standard_error``,
        both in its unit.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If ``target`` is not a target of the model, or one of ``classes`` not a class of its
            main phenotype.
        GeneMatchError
            If too few genes match.

        Examples
        --------
        >>> len(model.predict())
        200
        >>> model.predict(soft=True).shape == (200, len(model.classes))
        True
        """
        prepared = self._validate_anndata(adata)
        rows = self._row_numbers(prepared, indices)
        level = level_number(self, target)
        if level is None:
            heads_of(self.module).index(str(target))
        out = outputs(self, prepared, rows, batch_size, centre=False)
        index = prepared.obs_names[rows]
        if level is None:
            domain = prepared.domain[rows]
            return predict_phenotype(
                self, str(target), out, domain, index, soft=soft, calibrated=calibrated
            )
        p = restricted(self, probabilities(self, out, calibrated=calibrated), classes)
        if not soft:
            return best_names(self, p, level)
        by_class = pd.DataFrame(p, index=index, columns=self.classes)[self.fitted.order.classes]
        return at_level(self, by_class, level)

    def prediction_sets(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        alpha: float = 0.1,
        classes: Sequence[str] | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Give each row the set of classes that it may have: conformal prediction sets.

        A set holds the right class in a stated share of rows. It has each class whose probability
        is above a level, and always the predicted class. The level comes from labelled rows whose
        labels were held out: those of the row's own cohort where these are enough, at least
        ``1 / alpha - 1``, and otherwise those of all cohorts
        (:class:`~domainvi.trust.PredictionSets`).

        Parameters
        ----------
        adata
            Rows to predict; the model's own data if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        alpha
            Share of rows whose set may lack the right class: 0.1 states a coverage of 90 %.
        classes
            Classes that can be there, as in :meth:`predict`.
        batch_size
            Rows at a time.

        Returns
        -------
        Frame of booleans, rows by ``obs_names`` and columns by class in the order of the reference.

        Raises
        ------
        InputError
            If ``alpha`` is not between 0 and 1, or too small for the labelled rows that there are.
        NotTrainedError
            Before :meth:`train`.

        Notes
        -----
        The stated coverage is that of rows like those that the level comes from. For a cohort
        without labels of its own it is not promised, and a shift between cohorts can take more
        from it than ``alpha`` itself. Rows of unknown classes have no right class to hold.

        Examples
        --------
        >>> sets = model.prediction_sets(alpha=0.2)
        >>> sets.shape, bool(sets.any(axis=1).all())
        ((200, 4), True)
        """
        prepared = self._validate_anndata(adata)
        rows = self._row_numbers(prepared, indices)
        out = outputs(self, prepared, rows, batch_size, wanted=("linear",), centre=False)
        found = prediction_sets(self, out, prepared.domain[rows], alpha, classes)
        frame = pd.DataFrame(found, index=prepared.obs_names[rows], columns=self.classes)
        return frame[self.fitted.order.classes]

    def annotate(
        self,
        adata: AnnData | MuData | None = None,
        unknown_alpha: float | None = None,
        targets: Sequence[str] | None = None,
        caution_rows: NDArray[np.bool_] | None = None,
        overwrite: bool = False,
        level_confidence: float | None = 0.8,
        min_genes: int | None = None,
        set_alpha: float | None = None,
        classes: Sequence[str] | None = None,
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
            Which of the auxiliary phenotypes to write; all of them if ``None``.
        caution_rows
            Mask of the rows of ``adata`` that the cautions are about. By default all of them, or,
            in the model's own data, those without a label.
        overwrite
            Also replace columns of the same names that are no earlier results of DomainVI. Those of
            the phenotypes annotated now are replaced or, if not written again, dropped anyhow.
        level_confidence
            Of labels on several levels, the least probability of a name that a row is given: it is
            named at the finest level that reaches it, and by the coarsest name where no level
            reaches it, unless a finer name is as likely (an only child). ``None`` names every row
            at the finest level.
        min_genes
            Least number of the model's genes that ``adata`` must have; half of them, or 100 and
            half of its own, if ``None``.
        set_alpha
            Write prediction sets of the main phenotype as well, which may lack the right class in
            this share of rows (:meth:`prediction_sets`). Rows that ``unknown_alpha`` calls unknown
            have none, since they are taken to have no class that a set could hold. Of labels on
            several levels, sets hold classes of the finest.
        classes
            Classes of the main phenotype that can be there, as in :meth:`predict`.

        Returns
        -------
        Nothing. Writes ``obsm["X_domainvi"]``, ``obs["<labels_key>_pred"]``,
        ``obs["<labels_key>_conf"]``, ``obs["<labels_key>_unknown"]``,
        ``obsm["<labels_key>_prob"]``, ``uns["domainvi"]``, and
        ``uns["<labels_key>_pred_colors"]`` when the reference has colours. The same columns for
        each of the ``target_keys``; of a numeric one, ``_pred`` has the value and ``_conf`` its
        standard error, both in its unit. With ``set_alpha`` also ``obs["<labels_key>_set"]``, the
        classes of each row joined by ``uns["domainvi"]["prediction_sets"]["separator"]``; ``|``
        unless a class has it in its name.

        With labels on several levels, ``obs["<labels_key>_pred"]`` and ``_conf`` are the name and
        the probability at the finest level that a row is sure enough of, which
        ``obs["<labels_key>_level"]`` says, and each coarser level has a ``_pred``, a ``_conf`` and
        a ``_prob`` of its own. The probability of a name is the sum of those of its classes.

        ``uns["domainvi"]["unknown_rows"]`` counts the rows of no known class: those with a small
        p-value beside what chance gives, those at a false discovery rate of 10 %, and the estimated
        share of such rows.
        ``uns["domainvi"]["cautions"]`` says, each with a code, what speaks against believing the
        labels of ``caution_rows``. It is empty where nothing was found, which is no proof.
        ``uns["domainvi"]["notes"]`` says what costs them little.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If ``targets`` names one that the model does not have, ``unknown_alpha`` is no share,
            ``caution_rows`` is no mask of the rows, or a column of the user would be replaced; if
            ``set_alpha`` or ``classes`` cannot be used.

        Warns
        -----
        UserWarning
            If rows hold nothing but zeros; ``uns["domainvi"]["rows_without_values"]`` counts them.

        Examples
        --------
        >>> model.annotate(adata)
        >>> sorted(adata.obsm)
        ['X_domainvi', 'label_prob']
        >>> {"label_pred", "label_conf", "label_unknown"} <= set(adata.obs)
        True
        """
        annotate(
            self,
            adata,
            unknown_alpha=unknown_alpha,
            targets=targets,
            caution_rows=caution_rows,
            overwrite=overwrite,
            set_alpha=set_alpha,
            classes=classes,
            level_confidence=level_confidence,
            min_genes=min_genes,
        )

    @explained
    def annotate_lazy(
        self,
        adata: AnnData,
        path: str | os.PathLike[str],
        n_rows: int | None = None,
        unknown_alpha: float | None = None,
        targets: Sequence[str] | None = None,
        level_confidence: float | None = 0.8,
        min_genes: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Annotate rows that are never in memory together, and write the results to a zarr store.

        The expression values are a dask array, as ``anndata.experimental.read_lazy`` opens them.
        Each task of the graph reads one shard of rows and writes its results, so that memory does
        not depend on the number of rows, apart from names and columns of ``obs``. With a
        ``dask.distributed.Client`` the tasks run on all of its workers, which need to see
        ``path``; when one dies, others repeat its tasks. Without, they run in threads.

        What depends on a whole cohort, its scaling, its centring and the level of its unknown
        scores, is computed from all of its rows, so that the results are those of :meth:`annotate`.

        Parameters
        ----------
        adata
            Rows to annotate, whose ``X``, or layer of the setup, is a dask array.
        path
            The zarr store to write. It appears when everything is written; until then,
            ``<path>.unfinished`` holds the work. After an interrupt, the same call finishes it.
        n_rows
            Rows of a shard; 16,384 if ``None``, or fewer where 256 MB would not hold them dense.
        unknown_alpha, targets, level_confidence, min_genes, classes
            As in :meth:`annotate`.

        Returns
        -------
        Nothing. ``anndata.read_zarr(path)`` gives an object without genes, whose rows are those of
        ``adata``, with the columns, arrays and the verdict that :meth:`annotate` writes. Prediction
        sets are not among them.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If the values are no dask array, ``path`` exists, ``<path>.unfinished`` is that of
            another call or on other values, or an argument cannot be used; if values cannot be
            used, when a task meets them.

        Examples
        --------
        >>> import tempfile
        >>> adata.X = da.from_array(adata.X, chunks=(100, -1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.annotate_lazy(adata, f"{folder}/annotated.zarr")
        ...     found = ad.read_zarr(f"{folder}/annotated.zarr")
        >>> found.shape, sorted(found.obsm), "label_pred" in found.obs
        ((200, 0), ['X_domainvi', 'label_prob'], True)
        """
        annotate_lazy(
            self,
            adata,
            path,
            n_rows=n_rows,
            unknown_alpha=unknown_alpha,
            targets=targets,
            level_confidence=level_confidence,
            min_genes=min_genes,
            classes=classes,
        )

    def suggest_labels(
        self, n: int = 20, adata: AnnData | MuData | None = None, seed: int = 0
    ) -> pd.DataFrame:
        """Suggest which rows to label next.

        Rows without a label are shared out evenly among the predicted classes, clustered in the
        latent space within each, unsure rows weighing more, and the row nearest to the centre of
        each cluster is suggested. Write their labels into the column, and train again.

        Parameters
        ----------
        n
            Rows to suggest; all that have no label where these are fewer. Five for each class is a
            good number to begin with.
        adata
            Rows to choose from, one cohort for instance; the model's own data if ``None``.
        seed
            Random seed of the clusters.

        Returns
        -------
        One row for each suggestion, by ``obs_names``: ``rank``, in which every predicted class has
        its first row before any has its second; ``cohort``; ``predicted`` class and its
        ``confidence``; and ``represents``, the rows of its cluster.

        Raises
        ------
        InputError
            If every row has a label, or ``n`` is no whole number of at least 1.
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> next_rows = model.suggest_labels(n=8)
        >>> len(next_rows), list(next_rows)
        (8, ['rank', 'cohort', 'predicted', 'confidence', 'represents'])
        """
        return suggest_labels(self, n, adata, seed)

    def diagnose(self, seed: int = 0) -> pd.DataFrame:
        """Report how well domains can still be told apart within each class.

        A fresh probe (:func:`domainvi.metrics.domain_probe`), never the adversary of training,
        predicts the domain of held-out rows of one class, from the un-adapted components and from
        the latents. Unlabelled rows count under their predicted class.

        Parameters
        ----------
        seed
            Random seed for the folds.

        Returns
        -------
        One row a class that two domains or more have with five rows each, and ``"mean"`` over
        these. Domains with fewer rows of a class have no part in its figures. Columns: ``n_rows``,
        the rows probed, and all rows in ``"mean"``;
        ``chance``, the balanced accuracy of guessing;
        ``probe_input`` and ``probe_latent``, that of the probe before and after;
        ``a_distance_input`` and ``a_distance_latent``, the proxy A-distance;
        ``shift_input`` and ``shift_latent``, largest distance between domain centroids in
        within-class standard deviations.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> found = model.diagnose()
        >>> found.index[-1], {"probe_latent", "chance"} <= set(found)
        ('mean', True)
        """
        return diagnose(self, seed)

    @explained
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        transform_batch: str | Sequence[str] | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] = 1.0,
        batch_size: int = 128,
        n_samples: int | None = None,
        n_samples_overall: int | None = None,
        return_mean: bool = True,
        return_numpy: bool = False,
        silent: bool = True,
    ) -> pd.DataFrame | NDArray[np.float32]:
        """Decode the posterior means, as measured in the row's own domain or in another.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        transform_batch
            Domain to decode every row as, or several to average over; the row's own if ``None``.
        gene_list
            Genes to return; all if ``None``.
        library_size
            Counts only: what each row's shares are multiplied by. ``"latent"`` takes the row's own
            library size.
        batch_size
            Rows at a time.
        n_samples
            Decode that many draws of the posterior and average over them; its mean if ``None``.
        n_samples_overall
            Decode one draw each of that many rows, drawn with replacement; without row names.
        return_mean
            Average over draws; otherwise an array of shape ``(n_samples, n_rows, n_genes)``.
        return_numpy
            Return an array without names.
        silent
            Has no effect: there is no progress bar.

        Returns
        -------
        Rows x genes: for counts, expected shares, which sum to one over all genes, times the
        library size; otherwise expected values in the unit of the data. Values are smoothed by
        the model: do not test for differences on them, but with :meth:`differential_expression`.

        Raises
        ------
        InputError
            If a domain or a gene is not known.
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> domain = adata.obs["domain"].iloc[0]
        >>> model.get_normalized_expression(transform_batch=domain).shape
        (200, 60)
        """
        return normalized_expression(
            self,
            adata,
            indices,
            transform_batch,
            gene_list,
            library_size,
            batch_size,
            n_samples,
            n_samples_overall,
            return_mean=return_mean,
            return_numpy=return_numpy,
        )

    @explained
    def get_likelihood_parameters(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        n_samples: int | None = None,
        give_mean: bool = False,
        batch_size: int = 128,
    ) -> dict[str, NDArray[np.float32]]:
        """Parameters of the decoded distributions, in the row's own domain and library size.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        n_samples
            Draws of the posterior to decode; its mean if ``None``.
        give_mean
            Average over draws.
        batch_size
            Rows at a time.

        Returns
        -------
        Arrays of shape ``(n_rows, n_genes)``, with draws before if there are several: ``"mean"``,
        for negative binomials the inverse ``"dispersions"``, for zero-inflated ones the
        probability of ``"dropout"``, and for log values the standard deviation ``"scale"``.

        Examples
        --------
        >>> model.get_likelihood_parameters(indices=[0, 1])["mean"].shape
        (2, 60)
        """
        return likelihood_parameters(self, adata, indices, n_samples, batch_size, give_mean)

    @explained
    def get_latent_library_size(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        give_mean: bool = True,
        batch_size: int = 128,
    ) -> NDArray[np.float32]:
        """Library sizes of rows, shape ``(n_rows, 1)``, which are observed and not inferred.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        give_mean
            Has no effect: a library size that is observed has no distribution.
        batch_size
            Rows at a time.

        Examples
        --------
        >>> bool((model.get_latent_library_size()[:, 0] == adata.X.sum(axis=1)).all())
        True
        """
        return latent_library_size(self, adata, indices, batch_size)

    @explained
    def get_feature_correlation_matrix(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        n_samples: int = 10,
        batch_size: int = 128,
        rna_size_factor: float = 1000.0,
        transform_batch: str | Sequence[str] | None = None,
        correlation_type: Literal["spearman", "pearson"] = "spearman",
        silent: bool = True,
    ) -> pd.DataFrame:
        """Correlation of genes over rows, in rates drawn at one library size.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        n_samples
            Draws of each row.
        batch_size
            Rows at a time.
        rna_size_factor
            Counts only: the library size that rates are drawn at.
        transform_batch
            Domain to decode every row as, or several, whose correlations are averaged; the row's
            own if ``None``.
        correlation_type
            Of ranks or of values.
        silent
            Has no effect: there is no progress bar.

        Returns
        -------
        Genes x genes.

        Examples
        --------
        >>> model.get_feature_correlation_matrix(n_samples=2).shape
        (60, 60)
        """
        check_choice("correlation_type", correlation_type, ("spearman", "pearson"))
        check_sizes(n_samples=n_samples)
        return feature_correlation(
            self,
            adata,
            indices,
            n_samples,
            batch_size,
            rna_size_factor,
            transform_batch,
            ranked=correlation_type == "spearman",
        )

    @explained
    def differential_expression(
        self,
        adata: AnnData | None = None,
        groupby: str | None = None,
        group1: str | Sequence[str] | None = None,
        group2: str | None = None,
        idx1: Sequence[int] | Sequence[bool] | str | None = None,
        idx2: Sequence[int] | Sequence[bool] | str | None = None,
        mode: Literal["change", "vanilla"] = "change",
        delta: float | None = 0.25,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = True,
        **kwargs: Any,
    ) -> pd.DataFrame:
        r"""Compare expression between groups of rows, with scvi-tools' Bayesian test.

        Rows of both groups are drawn, and for each a latent from its posterior, which is decoded;
        :math:`P(|r| > \delta)` is the share of pairs whose change :math:`r` is beyond
        :math:`\delta` (Boyeau et al., PNAS 2023). Genes are called in the order of that
        probability for as long as the expected share of false ones is at most ``fdr_target``, if
        means of the rows' own values differ by more than :math:`\delta` at that rate as well: the
        decoder is surer than its rows allow.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        groupby
            Column of ``adata.obs``, ``"<labels_key>_pred"`` for instance. Rows without a value,
            and unlabelled ones of ``labels_key``, are in no group.
        group1
            Groups to compare, each by itself; all of them if ``None``.
        group2
            What they are compared with; all other groups if ``None``.
        idx1, idx2
            Rows in place of groups: numbers, masks, or queries of ``obs``.
        mode
            ``"change"``, or ``"vanilla"`` for the probability that one group has more.
        delta
            Smallest change that counts: of counts a log2 fold change of shares, otherwise a
            difference in the unit of the data. ``None`` estimates it.
        all_stats
            Add means and shares of values that are not zero.
        batch_correction
            Decode all rows as measured in every domain, and compare draws of the same one.
            Without, each row is decoded as measured in its own.
        batchid1, batchid2
            Domains to decode the groups as, with ``batch_correction``; all of them if ``None``.
        fdr_target
            Expected share of false genes among those that are called.
        silent
            Show no progress.
        **kwargs
            Arguments of ``scvi.model.base.DifferentialComputation.get_bayes_factors``,
            ``n_samples_overall`` for instance.

        Returns
        -------
        One row a gene and comparison, as in scvi-tools: ``proba_de``, ``lfc_mean`` and others of
        the change, ``scale1`` and ``scale2``, ``is_de_fdr_<fdr_target>``, ``comparison``. And
        ``p_adjusted`` of the rows' own values, by :func:`~domainvi.inherited.compare_means`; with
        ``batch_correction`` within domains, and NaN, where it decides nothing, if no domain has
        rows of both groups.

        Raises
        ------
        InputError
            If a column, group or domain is not known, or rows cannot be decoded.
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> found = model.differential_expression(groupby="label", group1="class_0")
        >>> found["comparison"].unique().tolist(), {"proba_de", "lfc_mean"} <= set(found)
        (['class_0 vs Rest'], True)
        """
        self._check_trained()
        refuse_several(self, "differential_expression")
        setup = self.registry_[SETUP_ARGS_KEY]
        return differential_expression(
            self,
            partial(draw_expression, self),
            adata,
            groupby,
            group1,
            group2,
            idx1,
            idx2,
            is_log=self.likelihood == "normal",
            unlabelled={setup["labels_key"]: setup["unlabeled_category"]},
            mode=mode,
            delta=delta,
            all_stats=all_stats,
            batch_correction=batch_correction,
            batchid1=batchid1,
            batchid2=batchid2,
            fdr_target=fdr_target,
            silent=silent,
            **kwargs,
        )

    @explained
    def posterior_predictive_sample(
        self,
        adata: AnnData | None = None,
        n_samples: int = 1,
        indices: Sequence[int] | Sequence[bool] | None = None,
        batch_size: int = 128,
        gene_list: Sequence[str] | None = None,
        transform_batch: str | Sequence[str] | None = None,
        silent: bool = True,
    ) -> GCXS:
        """Draw values from the posterior predictive distribution, as in scvi-tools.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        n_samples
            Draws of each row.
        indices
            Row numbers or a mask; all rows if ``None``.
        batch_size
            Rows at a time.
        gene_list
            Genes to return; all if ``None``.
        transform_batch
            Domain to draw every row as, or several, of which each draw takes one; the row's own
            if ``None``.
        silent
            Has no effect: there is no progress bar.

        Returns
        -------
        Sparse array of shape ``(n_rows, n_genes, n_samples)``, without the last for one draw, for
        :class:`scvi.criticism.PosteriorPredictiveCheck`.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> model.posterior_predictive_sample(n_samples=2).shape
        (200, 60, 2)
        """
        return predictive_draws(
            self, adata, n_samples, indices, batch_size, gene_list, transform_batch
        )

    @classmethod
    @explained
    def load_query_data(
        cls,
        adata: AnnData,
        reference_model: Self | str | os.PathLike[str],
        unfrozen: bool = False,
        inplace_subset_query_vars: bool = False,
    ) -> Self:
        """Extend a trained model by the domains of a query, to be trained on the query alone.

        The encoder knows no domain, so :meth:`predict` and :meth:`get_latent_representation` serve
        a query without this. It is for methods that decode, and for fine-tuning (Lotfollahi et
        al., Nature Biotechnology 2022).

        Parameters
        ----------
        adata
            Query, with the columns of the original setup. Labels are optional.
        reference_model
            A trained model, or the directory of one.
        unfrozen
            Train everything. By default only the decoder's weights of the new domains learn, so
            that latents and predictions of the reference stay what they were.
        inplace_subset_query_vars
            Bring the query to the genes of the reference first, as :meth:`prepare_query_anndata`.

        Returns
        -------
        A model on the query, to be trained with :meth:`train`.

        Raises
        ------
        GeneMatchError
            If less than half of the genes match.
        InputError
            If the query lacks any gene of the model, has new levels in a column other than the
            first ``batch_key``, or cannot be used otherwise.
        NotTrainedError
            If the reference is not trained.

        Examples
        --------
        >>> query = adata[:60].copy()
        >>> query.obs["domain"] = "hospital"
        >>> mapped = dv.DomainVI.load_query_data(query, model)
        >>> mapped.train(max_epochs=1, enable_progress_bar=False)
        >>> len(mapped.predict())
        60
        """
        if inplace_subset_query_vars:
            cls.prepare_query_anndata(adata, reference_model)
        reference = reference_model
        if not isinstance(reference, cls):
            reference = cls.load(str(reference))
        return map_query(reference, adata, unfrozen=unfrozen)

    @staticmethod
    def prepare_query_anndata(
        adata: AnnData,
        reference_model: Any,
        return_reference_var_names: bool = False,
        min_overlap: float | None = None,
        inplace: bool = True,
    ) -> AnnData | pd.Index | None:
        """Bring a query to the genes of a model, matched by name.

        Parameters
        ----------
        adata
            Query, of which a view is copied first.
        reference_model
            A model, or the directory of one.
        return_reference_var_names
            Return the genes of the model only.
        min_overlap
            Least share of the model's genes that the query must have; ``None`` as in
            :func:`domainvi.data.align_genes`.
        inplace
            Change the query, as in scvi-tools; otherwise return a new object.

        Returns
        -------
        ``None``, or with ``inplace=False`` a new object. Either has the genes of the model in its
        order, those that are missing filled with zeros; ``var["in_query"]`` says which genes the
        query had. Everything by row stays, and columns of ``var``; ``varm``, ``varp`` and ``raw``
        are left out. Zeros that were filled in are taken for values: :meth:`predict`,
        :meth:`annotate` and latents do without, and mask what is missing.

        Examples
        --------
        >>> query = adata[:50, 5:].copy()  # five genes are missing
        >>> dv.DomainVI.prepare_query_anndata(query, model)
        >>> query.shape
        (50, 60)
        """
        genes = genes_of(reference_model)
        if return_reference_var_names:
            return genes
        ready = with_genes(adata, genes, min_overlap)
        if not inplace:
            return ready
        adata._init_as_actual(ready)  # As scvi-tools does it; AnnData has no public way.
        return None

    @staticmethod
    def prepare_query_mudata(mdata: MuData, reference_model: Any, **_: Any) -> None:
        """Refuse: modalities and genes of a MuData are found by name, without preparation.

        Examples
        --------
        >>> try:
        ...     dv.DomainVI.prepare_query_mudata(adata, model)
        ... except dv.errors.InputError:
        ...     print("predict at once")
        predict at once
        """
        msg = (
            f"{type(mdata).__name__} needs no preparation for {type(reference_model).__name__}: "
            "pass it to predict, annotate or get_latent_representation, which find modalities "
            "and genes by name."
        )
        raise InputError(msg)
