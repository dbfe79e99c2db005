"""The main model."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scvi import REGISTRY_KEYS
from scvi.model.base import ArchesMixin, BaseModelClass, VAEMixin

from domainvi._compat import SETUP_ARGS_KEY
from domainvi._fork import refuse_dangerous_fork
from domainvi.data import check_setup, prepare
from domainvi.errors import InputError
from domainvi.module import EXTRA_DOMAINS_KEY
from domainvi.train import seeded

from ._annotation import AnnotationMixin
from ._decoding import DecodingMixin
from ._diagnosis import DiagnosisMixin
from ._explanation import ExplanationMixin
from ._multimodal import MultimodalMixin
from ._prepared import columns_of, register
from ._pretraining import PretrainingMixin
from ._query import QueryMixin
from ._readout import ReadoutMixin

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData

Likelihood = Literal["auto", "normal", "nb", "zinb", "poisson"]


class DomainVI(
    MultimodalMixin,
    QueryMixin,
    AnnotationMixin,
    DecodingMixin,
    DiagnosisMixin,
    ExplanationMixin,
    ReadoutMixin,
    PretrainingMixin,
    VAEMixin,
    ArchesMixin,
    BaseModelClass,
):
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
        Of initial weights, split, batches and training noise.
    pretrain_from
        Directory of a saved model whose encoder this one starts from, matched by gene name; see
        :meth:`pretrain`. Both need the same ``n_latent``, ``n_hidden``, ``n_layers`` and
        ``n_components``.

    Notes
    -----
    The user's object is read and never written, except by :meth:`annotate`. Setup reads its
    columns as they are at that moment. When rows were removed, reordered or renamed in place since,
    or values changed, methods refuse it and take a copy, which is read anew.

    Examples
    --------
    >>> import domainvi as dv
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

    def __init__(
        self,
        adata: AnnData | MuData | None = None,
        registry: dict[str, Any] | None = None,
        n_latent: int = 32,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_components: int = 100,
        dropout_rate: float = 0.1,
        likelihood: Likelihood | dict[str, Likelihood] = "auto",
        scaling: Literal["mix", "domain", "global"] = "mix",
        adversary: Literal["conditional", "marginal", "wasserstein", "none"] = "conditional",
        seed: int = 0,
        pretrain_from: str | os.PathLike[str] | None = None,
    ) -> None:
        check_sizes(
            n_latent=n_latent, n_hidden=n_hidden, n_layers=n_layers, n_components=n_components
        )
        check_choice("scaling", scaling, ("mix", "domain", "global"))
        check_numbers(seed, dropout_rate)
        refuse_dangerous_fork()
        super().__init__(adata, registry)
        self.target_order_, self.target_colors_ = {}, {}
        if adata is not None:
            likelihood = self._resolve_likelihood(self._validate_anndata().X, likelihood)
            self._remember_reference(adata)
        self.likelihood, self.scaling, self.seed = likelihood, scaling, seed
        self.is_scaled_ = False
        self.calibration_, self.unknown_, self.centring_ = None, None, None
        self.target_unknown_ = {}
        self.agreement_, self.n_reference_domains_ = None, None
        self.taught_ = np.empty(0, dtype=np.int64)
        self.audit_: dict[str, Any] = {}
        self.guard_: dict[str, Any] = {}
        self.pretraining_: dict[str, Any] = {}
        self.training_: dict[str, Any] = {}
        self.partial_: dict[str, Any] = {}
        with seeded(seed, devices=[]):
            self.module = self._build_module(
                n_input=len(self.genes),
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
                targets=self.targets,
            )
        if pretrain_from is not None:
            self._start_from(pretrain_from)
            pretrain_from = None  # Weights are saved with the model, not looked up again.
        # Saved models are rebuilt without data, so the resolved likelihood is what counts.
        self.init_params_ = self._get_init_params(locals())
        self._model_summary_string = (
            f"DomainVI: {len(self.genes)} genes, {len(self.domains)} domains, "
            f"{len(self.classes)} classes, n_latent: {n_latent}, likelihood: {likelihood}, "
            f"scaling: {scaling}, adversary: {adversary}"
        )

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        batch_key: str | Sequence[str],
        labels_key: str,
        *,
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
            adversary each; the first is the one by which rows are standardised.
        labels_key
            Column with the main phenotype.
        target_keys
            Columns with further phenotypes, names or numbers, whose values may be missing. Each
            gets a head on the latents and a linear member, trained with everything else
            (:class:`~domainvi.module.TargetHeads`).
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
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> dv.DomainVI(adata).domains
        ['domain_0', 'domain_1']
        """
        target_keys = [target_keys] if isinstance(target_keys, str) else list(target_keys or [])
        batch_keys: list[Any] = (
            list(batch_key) if isinstance(batch_key, list | tuple) else [batch_key]
        )
        check_setup(
            adata,
            batch_keys=batch_keys,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            layer=layer,
            target_keys=target_keys,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
        )
        arguments = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            batch_key=batch_keys if len(batch_keys) > 1 else batch_keys[0],
            labels_key=labels_key,
            target_keys=target_keys,
            unlabeled_category=unlabeled_category,
            layer=layer,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=list(categorical_covariate_keys or []),
            continuous_covariate_keys=list(continuous_covariate_keys or []),
        )
        columns = columns_of(arguments[SETUP_ARGS_KEY])
        work = prepare(adata, columns)
        register(work, columns, arguments)
        cls._remember(adata, work)

    def _levels(self, key: str) -> list[int]:
        """Numbers of levels of jointly registered columns."""
        return [int(n) for n in self._state(key).get("n_cats_per_key", [])]


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not positive whole numbers."""
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            msg = f"{name}={value!r} must be a whole number of at least 1."
            raise InputError(msg)


def check_numbers(seed: int, dropout_rate: float) -> None:
    """Refuse a seed that is no whole number from 0, and a dropout rate outside of 0 to 1."""
    if not isinstance(seed, Integral) or seed < 0:
        msg = f"seed={seed!r} must be a whole number of at least 0."
        raise InputError(msg)
    if not isinstance(dropout_rate, (int, float)) or not 0 <= dropout_rate < 1:
        msg = f"dropout_rate={dropout_rate!r} must be at least 0 and below 1."
        raise InputError(msg)


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        msg = f"{name}={value!r} is not known. Use one of {', '.join(choices)}."
        raise InputError(msg)
