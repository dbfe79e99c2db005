"""The model with subspaces."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from scvi.model.base import BaseModelClass, VAEMixin

from domainvi._compat import SETUP_ARGS_KEY
from domainvi._fork import refuse_dangerous_fork
from domainvi.data import (
    RESIDUAL,
    check_likelihood,
    check_setup,
    confounded_pairs,
    describe_matrix,
    factor_values,
    read_factors,
)
from domainvi.errors import InputError
from domainvi.module import INDEPENDENCE, Blocks, DisentangledVAE
from domainvi.train import seeded

from ._disentangled_annotation import DisentangledAnnotationMixin
from ._disentangled_readout import DisentangledReadoutMixin
from ._domainvi import check_choice, check_numbers, check_sizes
from ._factor_rows import prepare_factors, register_factors
from ._leakage import LeakageMixin
from ._swap import SwapMixin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from domainvi.data import Factor

logger = logging.getLogger(__name__)


class DisentangledVI(
    DisentangledAnnotationMixin,
    LeakageMixin,
    SwapMixin,
    DisentangledReadoutMixin,
    VAEMixin,
    BaseModelClass,
):
    r"""Split expression into the parts that groups of metadata explain.

    A variational autoencoder whose latents are one subspace a group of obs columns (biological and
    technical, for instance) and a residual one. The subspaces are made independent of each other
    and of each other's columns, and expression is the sum of one part a subspace, so that shares of
    variance, expression without the technical part, and the exchange of parts come for free. The
    model is written down in :class:`~domainvi.module.DisentangledVAE`; it is the sample-wise form
    of metadata-guided feature disentanglement (Rakowski et al., Bioinformatics 2024).

    Where factors of two groups are associated, full independence would erase what they share: the
    audit of :func:`domainvi.data.audit_arrays` finds such pairs at setup, they are named in the
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
        ``"adversarial"``, ``"covariance"``, ``"hsic"`` or ``"none"``; see
        :class:`~domainvi.module.IndependenceTerms`. After training with any but ``"none"``, what
        is left of foreign factors is projected out (:func:`~domainvi.train.erasure_map`).
    seed
        Of initial weights, split, batches and training noise.

    Examples
    --------
    >>> import domainvi as dv
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
        independence: Literal["adversarial", "covariance", "hsic", "none"] = "adversarial",
        seed: int = 0,
    ) -> None:
        check_sizes(
            n_latent=n_latent, n_hidden=n_hidden, n_layers=n_layers, n_components=n_components
        )
        check_choice("independence", independence, INDEPENDENCE)
        check_numbers(seed, dropout_rate)
        refuse_dangerous_fork()
        super().__init__(adata, registry)
        if adata is not None:
            likelihood = check_likelihood(describe_matrix(self._validate_anndata().X), likelihood)
        self.likelihood, self.seed = likelihood, seed
        self.is_scaled_ = False
        self.errors_: dict[str, float] = {}
        self.calibrations_: dict[str, dict[str, Any]] = {}
        self.training_: dict[str, Any] = {}
        sizes = subspace_sizes(self.factors, n_latent, n_residual)
        direct = direct_levels(self.factors, sizes, direct_factors)
        blocks = Blocks(
            sizes=sizes,
            groups=tuple(f.group for f in self.factors),
            n_levels=tuple(f.n_levels for f in self.factors),
            confounded=tuple((int(a), int(b)) for a, b in self._setup["confounded"]),
        )
        with seeded(seed, devices=[]):
            self.module = DisentangledVAE(
                n_input=len(self.genes),
                factors=self.factors,
                blocks=blocks,
                direct=direct,
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
            f"DisentangledVI: {len(self.genes)} genes, {len(self.factors)} factors, units of "
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
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(200, 60, seed=1)
        >>> groups = {"biological": ["tissue", "state"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups, labels_key="tissue")
        >>> dv.DisentangledVI(adata).subspaces
        ['biological', 'technical', 'residual']
        """
        check_setup(
            adata,
            batch_keys=[],
            labels_key=None,
            layer=layer,
            size_factor_key=size_factor_key,
            require_labels=False,
            require_domains=False,
        )
        factors = read_factors(adata.obs, factor_groups, unlabeled_category)
        if labels_key is not None and labels_key not in [f.name for f in factors]:
            msg = (
                f"labels_key={labels_key!r} is in none of the factor_groups; add it to one, so "
                "that it has a subspace."
            )
            raise InputError(msg)
        values = factor_values(adata.obs, factors, unlabeled_category)
        confounded = confounded_pairs(factors, values)
        for a, b in confounded:
            logger.warning(
                "%r and %r are associated: full independence would erase what they share, so "
                "their groups are made independent within the levels of one of them.",
                factors[a].name,
                factors[b].name,
            )
        arguments = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            layer=layer,
            factor_groups={k: list(v) for k, v in factor_groups.items()},
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            size_factor_key=size_factor_key,
            factors=[f.to_dict() for f in factors],
            confounded=confounded,
        )
        work = prepare_factors(adata, arguments[SETUP_ARGS_KEY])
        register_factors(work, arguments)
        cls._remember(adata, work)


def subspace_sizes(factors: Sequence[Factor], n_latent: int, n_residual: int) -> dict[str, int]:
    """Units of each subspace: the groups share what the residual one leaves."""
    groups = list(dict.fromkeys(f.group for f in factors))
    share, rest = divmod(n_latent - n_residual, len(groups))
    if n_residual < 0 or share < 1:
        msg = (
            f"n_latent={n_latent} and n_residual={n_residual} leave {n_latent - n_residual} units "
            f"for {len(groups)} groups; each needs one or more."
        )
        raise InputError(msg)
    sizes = {group: share + (i < rest) for i, group in enumerate(groups)}
    return sizes | ({RESIDUAL: n_residual} if n_residual else {})


def direct_levels(
    factors: Sequence[Factor], sizes: Mapping[str, int], direct: Sequence[str] | None
) -> list[str]:
    """Name the factors whose levels own a unit; check that there are units enough."""
    left = {group: size // 2 for group, size in sizes.items()}
    chosen = []
    for f in factors:
        if direct is None and not f.is_numeric and f.width <= left[f.group]:
            left[f.group] -= f.width
            chosen.append(f.name)
    if direct is None:
        return chosen
    for name in direct:
        found = next((f for f in factors if f.name == name), None)
        if found is None or found.is_numeric:
            msg = f"direct_factors names {name!r}, which is not a factor with levels."
            raise InputError(msg)
    for group, size in sizes.items():
        asked = sum(f.width for f in factors if f.group == group and f.name in direct)
        if asked > size:
            msg = (
                f"direct_factors ask for {asked} units in group {group!r}, one a level, and it "
                f"has {size}. Raise n_latent, or let factors with many levels interact."
            )
            raise InputError(msg)
    return list(direct)
