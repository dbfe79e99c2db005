"""The network of DisentangledVI: inference, generative model and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import nn
from torch.distributions import Distribution, Normal

from domainvi._compat import MODULE_KEYS
from domainvi.module import InputScale, Likelihood, build_likelihood, draw_latents, elbo_terms
from domainvi.nn import Classifier, GaussianEncoder, Standardiser

from ._factors import FACTORS_KEY
from ._independence import IndependenceTerms
from ._metadata import (
    ModulatedLoadings,
    complete_values,
    expected_metadata,
    factor_codes,
    factor_losses,
    metadata_columns,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._factors import Factor
    from ._independence import Blocks

# Probability that a known value is hidden from the loadings and the prior in training.
METADATA_DROPOUT = 0.2


class DisentangledVAE(BaseModuleClass):
    r"""Variational autoencoder whose latents are split by groups of metadata.

    A row has expression :math:`x`, library size :math:`\ell` and factors :math:`m` (obs columns,
    levels or numbers, missing allowed) in groups :math:`g = 1..G`, for instance biological and
    technical. Its latents are :math:`z = [z_1, \ldots, z_G, z_0]`, one subspace a group and a
    residual one, and

    .. math::
        z_g &\sim N(P_g m_g,\ I), \qquad z_0 \sim N(0, I), \\
        \eta &= b + \sum_{g} U_g\, \mathrm{diag}(\gamma_g(m_g))\, z_g + U_0 z_0, \\
        x &\sim p(x \mid \eta, \ell),

    so that the log-rate (or, on log values, the mean) is a sum of one part a group. The loadings
    :math:`U_g\,\mathrm{diag}(\gamma_g)` depend on the metadata
    (``ModulatedLoadings``). The encoder :math:`q(z \mid x)` sees expression only.
    Factors are read from their own subspace, :math:`q(m_k \mid z_g)`, by linear heads, and
    where a value is missing, in the data or by the dropout of metadata in training, the head's
    probabilities stand in for it: nothing but expression is needed for a new row.

    Training minimises

    .. math:: L = \sum_k L_k + \alpha \frac{-\mathrm{ELBO}}{n_\mathrm{genes}}
                  + L_\mathrm{ind}(\lambda)

    with the cross-entropy :math:`L_k` of known levels, every level counting the same (half the
    squared error for numbers), which anchors a subspace to its factors, and the independence term
    (:class:`~domainvi.disentangled.IndependenceTerms`), which works on the posterior means.

    Parameters
    ----------
    n_input
        Genes.
    factors
        The factors, group by group.
    blocks
        Sizes of the subspaces, and what is confounded.
    direct
        Names of the factors whose levels own a unit.
    n_hidden, n_layers, n_components, dropout_rate
        Sizes of the encoder.
    likelihood
        ``"normal"``, ``"nb"``, ``"zinb"`` or ``"poisson"``.
    independence
        Kind of the independence term, one of the four names of ``IndependenceTerms``.
    """

    erasure: torch.Tensor
    erasure_centre: torch.Tensor
    factor_mean: torch.Tensor

    def __init__(
        self,
        n_input: int,
        factors: Sequence[Factor],
        blocks: Blocks,
        direct: Sequence[str] = (),
        n_hidden: int = 128,
        n_layers: int = 1,
        n_components: int = 100,
        dropout_rate: float = 0.1,
        likelihood: str = "normal",
        independence: str = "hsic",
    ) -> None:
        super().__init__()
        self.n_input = n_input
        self.factors = list(factors)
        self.sizes = dict(blocks.sizes)
        self.n_latent = sum(self.sizes.values())
        # Columns of the metadata of each group.
        self.widths: dict[str, int] = {}
        for factor in self.factors:
            self.widths[factor.group] = self.widths.get(factor.group, 0) + factor.width
        self.input_scale = InputScale(counts=likelihood != "normal")
        self.standardiser = Standardiser(1, n_input)
        self.z_encoder = GaussianEncoder(
            n_input, self.n_latent, n_hidden, n_layers, dropout_rate, n_components
        )
        self.heads = nn.ModuleList(Classifier(self.sizes[f.group], f.width) for f in self.factors)
        self.loadings = nn.ModuleDict()
        self.priors = nn.ModuleDict()
        for name, size in self.sizes.items():
            width, columns = self.widths.get(name, 0), metadata_columns(self.factors, name)
            owned = tuple(c for factor in columns if factor in direct for c in columns[factor])
            self.loadings[name] = ModulatedLoadings(size, n_input, width, owned)
            if width:
                prior = self.priors[name] = nn.Linear(width, size, bias=False)
                nn.init.zeros_(prior.weight)
        self.intercept = nn.Parameter(torch.zeros(n_input))
        self.likelihood: Likelihood = build_likelihood(likelihood, 1, n_input)
        # Affine map of the posterior means that takes out what is left of foreign factors.
        self.register_buffer("erasure", torch.eye(self.n_latent))
        self.register_buffer("erasure_centre", torch.zeros(self.n_latent))
        # Mean of the metadata over the training rows, what a group is set to by default.
        self.register_buffer("factor_mean", torch.zeros(sum(self.widths.values())))
        # Last, so that the weights of everything else do not depend on the kind.
        self.independence = IndependenceTerms(independence, blocks)

    def _get_inference_input(self, tensors: dict[str, torch.Tensor]) -> dict:
        return {
            "x": tensors[REGISTRY_KEYS.X_KEY],
            "size_factor": tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY),
        }

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict
    ) -> dict:
        return {
            "z": inference_outputs["z"],
            "library": inference_outputs["library"],
            "values": tensors[FACTORS_KEY],
        }

    @property
    def groups(self) -> list[str]:
        """Groups of factors, in the order in which they were given."""
        return list(self.widths)

    def split(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Latents of each subspace, by its name."""
        parts = torch.split(z, list(self.sizes.values()), dim=-1)
        return dict(zip(self.sizes, parts, strict=True))

    def log_values(
        self, x: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring rows to the log scale of input scaling; also their library sizes."""
        return self.input_scale(x, size_factor)

    @auto_move_data
    def inference(
        self,
        x: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        gene_mask: torch.Tensor | None = None,
        n_samples: int = 1,
    ) -> dict[str, Distribution | torch.Tensor]:
        """Encode rows; genes outside of ``gene_mask`` are set to their mean."""
        u, library = self.log_values(x, size_factor)
        mean, variance = self.encode_log(u, gene_mask)
        return draw_latents(mean, variance, n_samples) | {"library": library}

    def encode_log(
        self, u: torch.Tensor, gene_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of ``q(z | x)`` for log values ``u``, leaks projected out."""
        s = self.standardiser(u, torch.zeros(len(u), dtype=torch.long, device=u.device))
        if gene_mask is not None:
            s = s * gene_mask
        mean, variance = self.z_encoder(s)
        return self.erasure_centre + (mean - self.erasure_centre) @ self.erasure, variance

    def factor_scores(self, z: torch.Tensor) -> list[torch.Tensor]:
        """Logits of the levels of each factor, or its number, from its own subspace."""
        blocks = self.split(z)
        return [head(blocks[f.group]) for f, head in zip(self.factors, self.heads, strict=True)]

    def metadata(
        self, values: torch.Tensor, scores: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Metadata of each group, some of it hidden in training; see ``expected_metadata``."""
        if self.training:
            hidden = torch.rand_like(values) < METADATA_DROPOUT
            values = values.masked_fill(hidden, torch.nan)
        return expected_metadata(self.factors, values, scores)

    def contributions(
        self,
        z: torch.Tensor,
        metadata: Mapping[str, torch.Tensor],
        genes: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Additive part of each subspace in the scores of the genes, ``(n_rows, n_genes)``."""
        none = z.new_zeros(len(z), 0)
        return {
            name: self.loadings[name](block, metadata.get(name, none), genes)
            for name, block in self.split(z).items()
        }

    def distribution(
        self,
        parts: Mapping[str, torch.Tensor],
        library: torch.Tensor,
        genes: torch.Tensor | None = None,
    ) -> Distribution:
        """Distribution of the expression values of rows whose scores have these parts."""
        intercept = self.intercept if genes is None else self.intercept[genes]
        scores = intercept + torch.stack(list(parts.values())).sum(dim=0)
        same = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        return self.likelihood(scores, library, same, self.standardiser, genes)

    @auto_move_data
    def generative(
        self,
        z: torch.Tensor,
        library: torch.Tensor,
        values: torch.Tensor,
        genes: torch.Tensor | None = None,
    ) -> dict[str, Distribution | list[torch.Tensor]]:
        """Decode latents to the distribution of the expression values, of all genes or some."""
        n_samples = z.shape[0] if z.dim() == 3 else 0
        if n_samples:
            z, library = z.flatten(0, 1), library.repeat(n_samples, 1)
            values = values.repeat(n_samples, 1)
        scores = self.factor_scores(z)
        metadata = self.metadata(values, scores)
        px = self.distribution(self.contributions(z, metadata, genes), library, genes)
        means = {name: prior(metadata[name]) for name, prior in self.priors.items()}
        none = {name: z.new_zeros(len(z), size) for name, size in self.sizes.items()}
        loc = torch.cat(list({**none, **means}.values()), dim=1)
        prior = Normal(loc, torch.ones_like(loc), validate_args=False)
        return {MODULE_KEYS.PX_KEY: px, MODULE_KEYS.PZ_KEY: prior, "factor_scores": scores}

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict,
        generative_outputs: dict,
        reconstruction_weight: float = 10.0,
        penalty_weight: float = 0.0,
        kl_weight: float = 1.0,
        genes: torch.Tensor | None = None,
    ) -> LossOutput:
        """Combine the terms of the class docstring; the weights are those of this step."""
        x = tensors[REGISTRY_KEYS.X_KEY]
        x = x if genes is None else x[:, genes]
        values = tensors[FACTORS_KEY]
        qz = inference_outputs[MODULE_KEYS.QZ_KEY]
        pz, px = (generative_outputs[key] for key in (MODULE_KEYS.PZ_KEY, MODULE_KEYS.PX_KEY))
        reconstruction, kl = elbo_terms(x, qz, pz, px, self.n_input)
        anchoring = torch.stack(
            factor_losses(self.factors, generative_outputs["factor_scores"], values)
        ).sum()
        complete = complete_values(self.factors, values, self.factor_scores(qz.loc))
        independence, metrics = self.independence(
            self.split(qz.loc),
            *(factor_codes(self.factors, v) for v in (values, complete)),
            penalty_weight,
        )
        elbo = (reconstruction + kl_weight * kl).mean() / self.n_input
        loss = anchoring + reconstruction_weight * elbo + independence
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction,
            kl_local=kl,
            extra_metrics={k: v.detach() for k, v in {"factor_loss": anchoring, **metrics}.items()},
        )
