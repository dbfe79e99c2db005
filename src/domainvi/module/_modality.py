"""One modality of a model: its input scaling, encoder, linear ensemble, decoder and likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.distributions import Distribution, Normal, kl_divergence

from domainvi._compat import MODULE_KEYS
from domainvi.linear import N_TOP_GENES
from domainvi.nn import Decoder, GaussianEncoder, LinearEnsemble, Standardiser, log_normalise

from ._likelihood import Likelihood, build_likelihood

if TYPE_CHECKING:
    from torch.distributions import Distribution


class InputScale(nn.Module):
    """Brings counts to log-normalised values; values on a log scale stay as they are.

    Parameters
    ----------
    counts
        Whether values are counts.
    """

    target_sum: torch.Tensor
    size_factor_scale: torch.Tensor

    def __init__(self, *, counts: bool) -> None:
        super().__init__()
        self.counts = counts
        # Library size that counts are brought to: the median of the training rows.
        self.register_buffer("target_sum", torch.tensor(1e4))
        self.register_buffer("size_factor_scale", torch.ones(()))

    def forward(
        self, x: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log values of rows and their library sizes."""
        library = self.library_size(x, size_factor)
        return self.log_values(x, library), library

    def library_size(self, x: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        """Library size of each row, ``(n_rows, 1)``: its sum, or its size factor in that unit."""
        if size_factor is None:
            return x.sum(dim=1, keepdim=True)
        return size_factor * self.size_factor_scale

    def log_values(
        self, x: torch.Tensor, library: torch.Tensor, n_stored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Bring rows, or the stored values of sparse ones, to the scale of the input scaling."""
        return log_normalise(x, library, self.target_sum, n_stored) if self.counts else x


def draw_latents(
    mean: torch.Tensor, variance: torch.Tensor, n_samples: int
) -> dict[str, Distribution | torch.Tensor]:
    """Posterior of the latents and draws from it, ``(n_samples, n_rows, n_latent)`` if many."""
    # What is not finite is reported by the training plan, with the term that broke.
    qz = Normal(mean, variance.sqrt(), validate_args=False)
    z = qz.rsample() if n_samples == 1 else qz.rsample((n_samples,))
    return {MODULE_KEYS.QZ_KEY: qz, MODULE_KEYS.Z_KEY: z}


def elbo_terms(
    x: torch.Tensor, qz: Distribution, pz: Distribution, px: Distribution, n_input: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction loss, of ``n_input`` genes by those in ``x``, and divergence of each row."""
    kl = kl_divergence(qz, pz).sum(dim=-1)
    reconstruction = -px.log_prob(x).sum(dim=-1)
    return reconstruction * (n_input / x.shape[1]), kl


class Composition(nn.Module):
    """Experts of single rows and moments of the classes, by which later cohorts are standardised.

    They are those of :class:`domainvi.linear.RowExperts` and of
    :class:`domainvi.linear.ClassMoments`, under the names that these have, on ``genes``.

    Parameters
    ----------
    n_genes, n_classes
        Sizes; 0 genes where there are no linear members.
    """

    genes: torch.Tensor

    def __init__(self, n_genes: int, n_classes: int) -> None:
        super().__init__()
        g, k = n_genes, n_classes
        shapes: dict[str, tuple[int, ...]] = {
            "centre": (g,),
            "scale": (g,),
            "coef": (2, g, k),
            "intercept": (2, k),
            "profile": (g, k),
            "basis": (g, k),
            "position": (k, k),
            "mean": (k, g),
            "within": (g,),
            "prior": (k,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape))
        self.register_buffer("genes", torch.zeros(g, dtype=torch.long))
        self.register_buffer("present", torch.ones(k, dtype=torch.bool))


N_REFERENCE = 30
CentreAndScale = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class InputMap:
    r"""Scores :math:`\mathrm{clip}((x - c_d) / s_d)^\top W + b` of rows of domain :math:`d`.

    Parameters
    ----------
    centre, scale
        By domain, each ``(n_domains, n_input)``.
    weight, bias
        ``(n_input, width)`` and ``(width,)``.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True)
class ScalingStatistics:
    """Centre and scale by domain, for rows that the stored ones do not serve.

    Parameters
    ----------
    network
        Those of the network's input, each ``(n_domains, n_input)``.
    linear
        Those of the linear members, each ``(n_members, n_domains, n_input)``.
    """

    network: CentreAndScale
    linear: CentreAndScale


class ModalityOutputs(NamedTuple):
    """One modality's answer for rows.

    Parameters
    ----------
    mean, variance
        Moments of its Gaussian expert on the latents, each ``(n_rows, n_latent)``.
    linear
        Log-probabilities of its linear ensemble, ``(n_rows, n_classes)``; ``None`` without one.
    reference
        Principal components of the un-adapted rows, ``(n_rows, 30)``.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    linear: torch.Tensor | None
    reference: torch.Tensor


class Modality(nn.Module):
    """The parts of a model that belong to the genes of one modality.

    Parameters
    ----------
    n_input
        Number of genes.
    n_domains, n_classes
        Levels of the main domain column, and classes of the main phenotype.
    n_covariates
        Width of the covariates that the decoder is given, domains among them.
    dropout_rate
        Dropout rate of the encoder.
    likelihood
        ``"normal"``, ``"nb"``, ``"zinb"`` or ``"poisson"``.
    n_latent, n_hidden, n_layers, n_components
        Sizes of encoder and decoder.
    """

    reference_basis: torch.Tensor
    reference_origin: torch.Tensor

    def __init__(
        self,
        n_input: int,
        n_domains: int,
        n_classes: int,
        n_covariates: int,
        dropout_rate: float,
        likelihood: str,
        *,
        n_latent: int,
        n_hidden: int,
        n_layers: int,
        n_components: int,
    ) -> None:
        super().__init__()
        self.n_input, self.n_domains, self.n_classes = n_input, n_domains, n_classes
        self.input_scale = InputScale(counts=likelihood != "normal")
        self.standardiser = Standardiser(n_domains, n_input)
        self.z_encoder = GaussianEncoder(
            n_input, n_latent, n_hidden, n_layers, dropout_rate, n_components
        )
        self.decoder = Decoder(n_latent, n_covariates, n_input, n_hidden, n_layers)
        self.likelihood: Likelihood = build_likelihood(likelihood, n_domains, n_input)
        self.linear = LinearEnsemble(0, n_domains, n_input, n_classes)
        self.composition = Composition(0, n_classes)
        # Principal components of the un-adapted rows, a space in which no unknown was aligned.
        n_reference = min(N_REFERENCE, n_input)
        self.register_buffer("reference_basis", torch.zeros(n_input, n_reference))
        self.register_buffer("reference_origin", torch.zeros(n_reference))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.reference_origin.device

    def set_linear_members(self, n_members: int, n_genes: int | None = None) -> None:
        """Make room for this many linear members, and for experts of single rows on some genes."""
        self.linear = LinearEnsemble(n_members, self.n_domains, self.n_input, self.n_classes)
        n_genes = min(self.n_input, N_TOP_GENES) if n_genes is None else n_genes
        self.composition = Composition(n_genes if n_members else 0, self.n_classes)
        self.to(self.device)

    def encode(
        self, u: torch.Tensor, domain: torch.Tensor, statistics: ScalingStatistics | None = None
    ) -> CentreAndScale:
        """Mean and variance of the latents of log values ``u`` and domain codes ``(n_rows,)``."""
        own = None if statistics is None else statistics.network
        return self.z_encoder(self.standardiser(u, domain, own))

    def embed(
        self, u: torch.Tensor, domain: torch.Tensor, statistics: ScalingStatistics | None = None
    ) -> ModalityOutputs:
        """Encode and classify log values."""
        members = None if statistics is None else statistics.linear
        linear = self.linear(u, domain, members) if self.linear.n_members else None
        unadapted = self.standardiser(u, domain, self.unadapted_statistics(statistics))
        reference = unadapted @ self.reference_basis - self.reference_origin
        return ModalityOutputs(*self.encode(u, domain, statistics), linear, reference)

    def input_maps(self, statistics: ScalingStatistics | None = None) -> list[InputMap]:
        """List the linear maps that :meth:`embed` begins with: projection, members, components."""
        projection = self.z_encoder.projection
        own = (self.standardiser.loc, self.standardiser.scale)
        centre, scale = self.linear.centre, self.linear.scale
        if statistics is not None:
            own, (centre, scale) = statistics.network, statistics.linear
        members = zip(centre, scale, self.linear.coef, self.linear.intercept, strict=True)
        maps = [InputMap(*own, projection.weight.T, projection.bias)]
        maps += [InputMap(*parts) for parts in members]
        reference = InputMap(
            maps[-1].centre, maps[-1].scale, self.reference_basis, -self.reference_origin
        )
        return [*maps, reference]

    def unadapted_statistics(self, statistics: ScalingStatistics | None) -> CentreAndScale:
        """Centre and scale of each domain's own rows; of the network where there are no members.

        They are those of the last linear member.
        """
        if not self.linear.n_members:
            own = self.standardiser
            return (own.loc, own.scale) if statistics is None else statistics.network
        stored = (self.linear.centre, self.linear.scale)
        centre, scale = stored if statistics is None else statistics.linear
        return centre[-1], scale[-1]

    def standardised_by_domain(
        self, u: torch.Tensor, domain: torch.Tensor, statistics: ScalingStatistics | None = None
    ) -> torch.Tensor:
        """Standardise log values by their domain, as linear members of auxiliary phenotypes do.

        The leading genes are standardised by the domain's own rows, and the others, of which linear
        members make no use, as the network does.
        """
        own = self.standardiser
        others = (own.loc, own.scale) if statistics is None else statistics.network
        unadapted = self.unadapted_statistics(statistics)
        unused = torch.isinf(unadapted[1])
        return self.standardiser(
            u,
            domain,
            tuple(torch.where(unused, o, b) for o, b in zip(others, unadapted, strict=True)),
        )

    def decode(
        self,
        z: torch.Tensor,
        library: torch.Tensor,
        domain: torch.Tensor,
        covariates: torch.Tensor,
        genes: torch.Tensor | None = None,
    ) -> Distribution:
        """Distribution of the values of all genes or some, for one or several draws of latents."""
        if z.dim() == 3:
            n_samples, n_rows, _ = z.shape
            scores = self.decoder(z.flatten(0, 1), covariates.repeat(n_samples, 1), genes)
            scores = scores.view(n_samples, n_rows, -1)
        else:
            scores = self.decoder(z, covariates, genes)
        return self.likelihood(scores, library, domain, self.standardiser, genes)
