"""DisentangledVI: the model that splits latents and expression by groups of metadata."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from domainvi._checks import (
    check_choice,
    check_dropout_rate,
    check_seed,
    check_sizes,
    refuse_dangerous_fork,
)
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import check_likelihood, describe_matrix, to_tensors
from domainvi.errors import InputError
from domainvi.model import CohortModel
from domainvi.train import chosen_seed, seeded

from ._decompose import expression_at, metadata_at, swap_scores, swapped_expression, variance_shares
from ._encode import (
    annotate,
    encode,
    factor_head,
    hard_answers,
    position_of,
    soft_answers,
    units_of,
)
from ._factors import (
    Factor,
    check_rows,
    confounded_pairs,
    factor_values,
    prepare_factors,
    prepare_query,
    read_factors,
)
from ._fit import DisentangledFit
from ._independence import INDEPENDENCE, Blocks
from ._leakage import leakage
from ._metadata import direct_levels, subspace_sizes
from ._module import DisentangledVAE
from ._training import DEFAULT_EPOCHS, train

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray
    from scvi.dataloaders import AnnDataLoader

    from domainvi.data import PreparedAnnData
    from domainvi.explain import Head


class DisentangledVI(CohortModel):
    r"""Split expression into the parts that groups of metadata explain.

    A variational autoencoder whose latents are one subspace a group of obs columns (biological and
    technical, for instance) and a residual one. The subspaces are made independent of each other
    and of each other's columns, and expression is the sum of one part a subspace, so that shares of
    variance, expression without the technical part, and the exchange of parts come for free. The
    model is written down in :class:`~domainvi.disentangled.DisentangledVAE`; it is the sample-wise
    form of metadata-guided feature disentanglement (Rakowski et al., Bioinformatics 2024).

    Where factors of two groups are associated, full independence would erase what they share: the
    audit of :func:`domainvi.trust.audit_arrays` finds such pairs at setup, they are named in the
    log and in ``uns["domainvi"]["confounded"]``, and independence is asked for within the levels
    of one of them.

    Parameters
    ----------
    adata
        Object that was passed to :meth:`setup_anndata`.
    registry
        Registry of a saved model, for loading without data.
    n_latent
        Units of all subspaces. A group whose foreign factors have many levels needs more units
        than these have levels.
    n_residual
        Units of the residual subspace, for what no factor explains; the groups share the rest.
    direct_factors
        Factors each of whose levels owns a unit. ``None`` takes factors in their order as long as
        half of the subspace is left to those that interact.
    n_hidden, n_layers
        Width and number of hidden layers of the encoder.
    n_components
        Width of the encoder's projection, which starts at principal components.
    dropout_rate
        Dropout rate of the encoder.
    likelihood
        ``"nb"``, ``"zinb"`` or ``"poisson"`` for counts, ``"normal"`` for values on a log scale;
        ``"auto"`` takes ``"nb"`` for whole numbers and ``"normal"`` otherwise.
    independence
        ``"hsic"``, ``"covariance"``, ``"adversarial"`` or ``"none"``; see
        :class:`~domainvi.disentangled.IndependenceTerms`. Of the three only HSIC leaves little to
        probes that are not linear. After training with any but ``"none"``,
        what is left of foreign factors is projected out
        (:func:`~domainvi.disentangled.fit_erasure`).
    seed
        Random seed for initial weights, split, batches and training noise; ``scvi.settings.seed``
        if ``None``, and 0 if that has none either.

    Notes
    -----
    Methods that need a trained model raise :class:`~domainvi.errors.NotTrainedError` before
    :meth:`train`.

    Examples
    --------
    >>> adata = dv.data.synthetic_factors(n_obs=200, n_genes=50)
    >>> groups = {"biological": ["tissue", "state"], "technical": ["platform", "study"]}
    >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
    >>> model = dv.DisentangledVI(adata)
    >>> model.train(max_epochs=2, enable_progress_bar=False)
    >>> model.get_latent_representation(group="biological").shape
    (200, 16)
    >>> list(model.get_variance_shares().columns)
    ['biological', 'technical', 'residual']
    >>> model.get_normalized_expression(technical="reference").shape
    (200, 50)
    """

    module: DisentangledVAE

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict[str, Any] | None = None,
        n_latent: int = 48,
        n_residual: int = 16,
        direct_factors: Sequence[str] | None = None,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_components: int = 100,
        dropout_rate: float = 0.1,
        likelihood: Literal["auto", "normal", "nb", "zinb", "poisson"] = "auto",
        independence: Literal["adversarial", "covariance", "hsic", "none"] = "hsic",
        seed: int | None = None,
    ) -> None:
        check_sizes(
            n_latent=n_latent, n_hidden=n_hidden, n_layers=n_layers, n_components=n_components
        )
        check_choice("independence", independence, INDEPENDENCE)
        seed = chosen_seed(seed)
        check_seed(seed)
        check_dropout_rate(dropout_rate)
        refuse_dangerous_fork()
        super().__init__(adata, registry)
        if adata is not None:
            likelihood = check_likelihood(describe_matrix(self._validate_anndata().X), likelihood)
        self.likelihood, self.seed = likelihood, seed
        self.fitted = DisentangledFit()
        factors = self.factors
        sizes = subspace_sizes(factors, n_latent, n_residual)
        blocks = Blocks(
            sizes=sizes,
            groups=tuple(f.group for f in factors),
            n_levels=tuple(f.n_levels for f in factors),
            confounded=tuple((int(a), int(b)) for a, b in self._setup["confounded"]),
        )
        with seeded(seed, devices=[]):
            self.module = DisentangledVAE(
                n_input=len(self.genes),
                factors=factors,
                blocks=blocks,
                direct=direct_levels(factors, sizes, direct_factors),
                n_hidden=n_hidden,
                n_layers=n_layers,
                n_components=n_components,
                dropout_rate=dropout_rate,
                likelihood=likelihood,
                independence=independence,
            )
        # Saved models are rebuilt without data, so the resolved likelihood is what counts.
        self.init_params_ = self._get_init_params(locals())
        units = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        self._model_summary_string = (
            f"DisentangledVI: {len(self.genes)} genes, {len(factors)} factors, units of "
            f"{units}, likelihood: {likelihood}, independence: {independence}"
        )

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        *,
        factor_groups: Mapping[str, Sequence[str]],
        labels_key: str | None = None,
        unlabeled_category: str = "Unknown",
        size_factor_key: str | None = None,
    ) -> None:
        """Register the fields of an AnnData object.

        Parameters
        ----------
        adata
            Rows are samples or cells; nothing is written to it.
        layer
            Layer with the expression values; ``adata.X`` if ``None``.
        factor_groups
            Columns of ``adata.obs`` by group, two groups or more: ``{"biological": ["tissue"],
            "technical": ["study", "platform"]}``. Text, categories and booleans are levels,
            numbers are quantities. Values may be missing.
        labels_key
            The factor that :meth:`predict` answers by default; the first one if ``None``.
        unlabeled_category
            Level that means missing, in every factor.
        size_factor_key
            Column with library sizes, for counts; row sums if ``None``.

        Raises
        ------
        InputError
            If something cannot be used: fewer than two groups, a column in two of them, a factor
            nested in one of another group, a number with one value, or a level for every row.

        Examples
        --------
        >>> adata = dv.data.synthetic_factors(200, 60, seed=1)
        >>> groups = {"biological": ["tissue", "state"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups, labels_key="tissue")
        >>> dv.DisentangledVI(adata).subspaces
        ['biological', 'technical', 'residual']
        """
        check_rows(adata, layer, size_factor_key)
        factors = read_factors(adata.obs, factor_groups, unlabeled_category)
        if labels_key is not None and labels_key not in [f.name for f in factors]:
            msg = (
                f"labels_key={labels_key!r} is in none of the factor_groups; add it to one, so "
                "that it has a subspace."
            )
            raise InputError(msg)
        values = factor_values(adata.obs, factors, unlabeled_category)
        arguments = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            layer=layer,
            factor_groups={k: list(v) for k, v in factor_groups.items()},
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            size_factor_key=size_factor_key,
            factors=[asdict(f) for f in factors],
            confounded=confounded_pairs(factors, values),
        )
        cls._remember(adata, prepare_factors(adata, arguments))

    @property
    def factors(self) -> list[Factor]:
        """The factors, group by group."""
        return [Factor.from_dict(f) for f in self._setup["factors"]]

    @property
    def groups(self) -> list[str]:
        """Groups of factors, in the order in which they were given."""
        return self.module.groups

    @property
    def subspaces(self) -> list[str]:
        """Names of the subspaces: the groups, and the residual one where it has units."""
        return list(self.module.sizes)

    @property
    def main_factor(self) -> str:
        """Factor that is predicted and explained by default: ``labels_key``, or the first one."""
        return self._setup["labels_key"] or self.module.factors[0].name

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float = 0.9,
        batch_size: int = 128,
        early_stopping: bool = False,
        plan_kwargs: dict[str, Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training rows; an epoch has at least 20 steps. 40 by default.
        accelerator, devices
            Passed on to :class:`lightning.pytorch.Trainer`.
        train_size
            Share of rows to train on; the others are held out, stratified by the first factors of
            the first two groups.
        batch_size
            Rows a step.
        early_stopping
            Stop when the loss of held-out rows has not improved for 10 epochs after the 40th. Off
            by default: the loss without the independence term says when reconstruction is done,
            not when the subspaces are apart.
        plan_kwargs
            Arguments of :class:`~domainvi.disentangled.DisentangledTrainingPlan`: learning rate
            and weights of the terms.
        checkpoint_dir, checkpoint_every, resume
            Folder and interval of checkpoints, and whether to go on from one; see
            :meth:`domainvi.DomainVI.train`.
        **trainer_kwargs
            Arguments of :class:`scvi.train.Trainer`.

        Returns
        -------
        Nothing. Losses of each epoch are in ``model.history``.

        Raises
        ------
        InputError
            If an argument is out of range, before anything is changed.
        TrainingError
            If a loss becomes NaN or infinite.
        ModelFileError
            If a checkpoint cannot be written, or is damaged.
        KeyboardInterrupt
            After Ctrl-C, which ends training after the current step; the model has the weights of
            its best epoch and can be used.

        Examples
        --------
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.is_trained
        True
        """
        arguments = {
            "max_epochs": DEFAULT_EPOCHS if max_epochs is None else max_epochs,
            "train_size": train_size,
            "batch_size": batch_size,
            "early_stopping": early_stopping,
            "plan_kwargs": {**(plan_kwargs or {})},
        }
        train(
            self,
            arguments,
            checkpoint_dir=checkpoint_dir,
            checkpoint_every=checkpoint_every,
            resume=resume,
            accelerator=accelerator,
            devices=devices,
            trainer_kwargs=trainer_kwargs,
        )

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        group: str | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        return_dist: bool = False,
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latents of one subspace, or of all.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``. Genes are matched by name, and no
            metadata are needed.
        indices
            Row numbers or a mask; all rows if ``None``.
        group
            Name of a group, ``"residual"``, or ``None`` for all subspaces side by side.
        give_mean
            The mean of ``q(z | x)``; otherwise one draw around it.
        batch_size
            Rows at a time.
        return_dist
            Return mean and variance of ``q(z | x)``.

        Returns
        -------
        Array of shape ``(n_rows, n_units)``, float32; two of them with ``return_dist``.

        Raises
        ------
        InputError
            If there is no such subspace.
        GeneMatchError
            If too few genes match.

        Examples
        --------
        >>> model.get_latent_representation(group="biological").shape
        (300, 16)
        """
        prepared, rows = self._rows(adata, indices)
        units = units_of(self.module, group)
        out = encode(self.module, prepared, rows, batch_size)
        mean, variance = out.mean[:, units], out.variance[:, units]
        if return_dist:
            return mean, variance
        if give_mean:
            return mean
        draw = np.random.default_rng(self.seed).standard_normal(mean.shape)
        return (mean + np.sqrt(variance) * draw).astype(np.float32)

    def predict(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        factor: str | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        calibrated: bool = True,
    ) -> NDArray[Any] | pd.DataFrame:
        """Predict a factor from its own subspace, by expression alone.

        Parameters
        ----------
        adata
            Rows to predict; the model's own data if ``None``. No metadata are needed, and those
            that are there are not used.
        indices
            Row numbers or a mask; all rows if ``None``.
        factor
            Name of the factor; ``labels_key``, or else the first factor, if ``None``.
        soft
            Return probabilities of the levels, or the number with its standard error.
        batch_size
            Rows at a time.
        calibrated
            Whether probabilities are calibrated, by one temperature a factor, which was fitted to
            the rows held out of training.

        Returns
        -------
        One level or number a row; with ``soft`` a frame, rows by ``obs_names``.

        Raises
        ------
        InputError
            If there is no such factor.

        Examples
        --------
        >>> len(model.predict(factor="tissue"))
        300
        """
        k = position_of(self.module, factor or self.main_factor)
        described = self.module.factors[k]
        prepared, rows = self._rows(adata, indices)
        score = encode(self.module, prepared, rows, batch_size).scores[k]
        if not soft:
            return hard_answers(described, score)
        columns = list(described.levels) or ["value", "standard_error"]
        answers = soft_answers(described, score, self.fitted, calibrated=calibrated)
        return pd.DataFrame(answers, index=prepared.obs_names[rows], columns=columns)

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

        Examples
        --------
        >>> model.annotate(adata)
        >>> "tissue_pred" in adata.obs
        True
        """
        prepared, _ = self._rows(adata)
        target = self._own_data() if adata is None else adata
        annotate(target, self, prepared)

    def get_variance_shares(
        self, adata: AnnData | None = None, batch_size: int | None = None
    ) -> pd.DataFrame:
        r"""Share of each subspace in the variance of the scores of each gene.

        Scores are log-rates, or standardised means of log values; with their parts :math:`c_{gi}`
        over the rows, the share is :math:`\mathrm{Var}(c_g) / \sum_h \mathrm{Var}(c_h)`. What the
        model does not explain (noise) has no share.

        Parameters
        ----------
        adata
            Rows; the model's own data if ``None``.
        batch_size
            Rows at a time.

        Returns
        -------
        Genes x subspaces, rows summing to 1; NaN for a gene that does not vary.

        Examples
        --------
        >>> shares = model.get_variance_shares()
        >>> shares.shape[0], "technical" in shares
        (60, True)
        """
        prepared, _ = self._rows(adata, decode=True)
        return variance_shares(self.module, prepared, self.genes, batch_size)

    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        batch_size: int | None = None,
        **levels: str,
    ) -> pd.DataFrame:
        """Expect expression with the part of some groups set to one level for all rows.

        The latents of such a group are set to the mean of their prior at that level, and so are its
        loadings; the parts of the other subspaces stay those of the row.

        Parameters
        ----------
        adata
            Rows; the model's own data if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        batch_size
            Rows at a time.
        **levels
            Group names with ``"reference"``, the average metadata of the training rows, or with a
            level of one of the group's factors, whose other factors stay at the average:
            ``technical="reference"``, ``technical="gtex"``.

        Returns
        -------
        Rows x genes: log values, or counts at the median library size of the training rows.

        Raises
        ------
        InputError
            If there is no such group or level.

        Examples
        --------
        >>> model.get_normalized_expression(technical="reference").shape
        (300, 60)
        """
        fixed = {g: metadata_at(self.module, g, level) for g, level in levels.items()}
        prepared, rows = self._rows(adata, indices, decode=True)
        values = expression_at(self.module, prepared, rows, fixed, batch_size)
        return pd.DataFrame(values, index=prepared.obs_names[rows], columns=self.genes)

    def get_swapped_expression(
        self,
        partners: ArrayLike,
        group: str,
        adata: AnnData | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Expect expression with the part of one subspace taken from other rows.

        Parameters
        ----------
        partners
            For each row, the number of the row whose part it gets; its own number for a plain
            reconstruction.
        group
            Name of the subspace.
        adata
            Rows; the model's own data if ``None``.
        batch_size
            Rows at a time.

        Returns
        -------
        Rows x genes, as from :meth:`get_normalized_expression`.

        Raises
        ------
        InputError
            If there is no such subspace, or not one partner for each row.

        Examples
        --------
        >>> model.get_swapped_expression(np.arange(300)[::-1], group="technical").shape
        (300, 60)
        """
        units_of(self.module, group)
        prepared, donors = self._rows(adata, np.asarray(partners), decode=True)
        values = swapped_expression(self.module, prepared, donors, group, batch_size)
        return pd.DataFrame(values, index=prepared.obs_names, columns=self.genes)

    def swap_test(self, keep: str, flip: str, seed: int = 0) -> dict[str, float]:
        """Exchange the part of one group between rows and ask fixed classifiers what they see.

        Logistic regressions for both factors are fitted to the expression values as measured. They
        are then shown the model's reconstruction of each row, once with its own part of the group
        of ``flip``, and once with that of a random row of another level.

        Parameters
        ----------
        keep
            Factor of another group, whose classifier should not notice.
        flip
            Factor of the exchanged group, whose classifier should call the level of the donor.
        seed
            Random seed for the choice of partners.

        Returns
        -------
        ``keep_before`` and ``keep_after``, balanced accuracy of ``keep`` on the reconstruction and
        after the exchange; ``keep_change``, their difference; ``flip_before``, balanced accuracy of
        ``flip`` on the reconstruction; ``flipped``, the share of rows called by the donor's level.

        Raises
        ------
        InputError
            If a factor is not known or a number, or both are of one group.

        Examples
        --------
        >>> sorted(model.swap_test(keep="tissue", flip="platform"))
        ['flip_before', 'flipped', 'keep_after', 'keep_before', 'keep_change']
        """
        prepared, _ = self._rows(None, decode=True)
        return swap_scores(self.module, prepared, keep, flip, seed)

    def get_leakage(
        self,
        adata: AnnData | None = None,
        probe: Literal["linear", "boosting"] = "linear",
        n_permutations: int = 20,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Probe every subspace for every factor.

        Fresh probes, trained to convergence and cross-fitted, never the heads of training. A
        subspace's own factors are predicted on held-out levels of the first factor of another
        group (a platform or study that the probe has not seen), where every level of the factor
        occurs in two of these or more; otherwise, and for factors of other groups, on stratified
        folds. Where a factor of another group is confounded with one of the subspace, chance is
        what that one tells of it: the permutations are within its levels.

        Parameters
        ----------
        adata
            Rows with the columns of the factors; the model's own data if ``None``.
        probe
            ``"linear"`` (logistic or ridge regression) or ``"boosting"`` (gradient boosted trees).
        n_permutations
            Number of permutations; 0 leaves chance and p-values empty.
        seed
            Random seed for folds, permutations and bootstrap.

        Returns
        -------
        One row a subspace and factor, and one with subspace ``"joint"``: the AUC of telling rows
        from rows whose subspaces were shuffled, within strata where groups are confounded. Columns:
        ``subspace``, ``factor``, ``own`` (whether the factor belongs to the subspace), ``metric``
        (``"balanced accuracy"``, ``"r2"`` or ``"auc"``), ``score``, ``chance``, ``p_value``,
        ``low`` and ``high`` (95 %), ``n_rows``, ``folds`` (``"stratified"`` or the factor whose
        levels were held out). A factor of which the rows have a single level has NaN and 0 rows.

        Examples
        --------
        >>> table = model.get_leakage(adata, n_permutations=0)
        >>> {"subspace", "factor", "own", "score", "chance"} <= set(table)
        True
        """
        prepared, _ = self._rows(adata)
        return leakage(self.module, prepared, probe, n_permutations, seed)

    @property
    def _setup(self) -> dict[str, Any]:
        """Arguments of :meth:`setup_anndata`."""
        return self.registry_[SETUP_ARGS_KEY]

    def _rows(
        self, adata: AnnData | None, indices: Any = None, *, decode: bool = False
    ) -> tuple[PreparedAnnData, NDArray[np.int64]]:
        """Prepare rows of a trained model; what decodes them needs all genes."""
        self._check_trained()
        prepared = self._validate_anndata(adata)
        if decode:
            self._check_genes(prepared, "this method")
        return prepared, self._row_numbers(prepared, indices)

    def _make_data_loader(self, adata: PreparedAnnData, *args: Any, **kwargs: Any) -> AnnDataLoader:
        """Load rows for scvi-tools' methods, which decode."""
        self._check_genes(adata, "this method")
        kwargs.setdefault("collate_fn", to_tensors)
        return super()._make_data_loader(adata, *args, **kwargs)

    def _prepare_query(self, adata: AnnData) -> PreparedAnnData:
        """Prepare rows that the model was not set up with; they need no metadata."""
        return prepare_query(adata, self.registry_, self.genes, self.likelihood)

    def _prepare_own(self, data: AnnData) -> PreparedAnnData:
        """Prepare data that become the model's own; columns of factors may be missing."""
        return self._prepare_query(data)

    @classmethod
    def _check_registry(cls, registry: dict[str, Any]) -> None:
        for factor in registry[SETUP_ARGS_KEY]["factors"]:
            Factor.from_dict(factor)

    def _head(self, prepared: PreparedAnnData, target: str | None) -> Head:
        return factor_head(self, prepared, target)

    def _training_arguments(self) -> dict[str, Any]:
        return self.fitted.training

    def _to_file(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, self.fitted.to_file()

    def _from_file(self, tensors: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.fitted = DisentangledFit.from_file(metadata, self.module.factors)

    def _make_room(self, metadata: dict[str, Any]) -> None:
        """Do nothing: training adds no part to the module."""
