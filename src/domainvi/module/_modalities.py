"""One to several modalities of the same rows as one: what a row lacks has no say."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from domainvi.errors import InputError
from domainvi.nn import product_of_experts

from ._blocks import BlockDistribution

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch.distributions import Distribution

    from ._modality import Modality, ScalingStatistics

    Moments = tuple[torch.Tensor, torch.Tensor]


class JointOutputs(NamedTuple):
    """The answer of all modalities of rows together.

    Parameters
    ----------
    mean, variance
        Moments of ``q(z | x)``, each ``(n_rows, n_latent)``.
    linear
        Log-probabilities of the linear ensembles, ``(n_rows, n_classes)``; ``None`` without any.
    has_linear
        Whether a row has a modality with a linear ensemble, ``(n_rows, 1)``; ``None`` if all have.
    reference
        Principal components of the un-adapted rows, those of the modalities side by side.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    linear: torch.Tensor | None
    has_linear: torch.Tensor | None
    reference: torch.Tensor


class Modalities(nn.Module):
    r"""The modalities of a model, any of which a row may lack when there are several.

    With :math:`P` the modalities of a row,

    .. math:: q(z \mid x) \propto N(z; 0, I) \prod_{m \in P} q_m(z \mid s_m(x_m)), \qquad
              \log p(x \mid z, d) = \sum_{m \in P} \log p_m(x_m \mid z, d),

    the product of experts of Wu and Goodman (NeurIPS 2018,
    :func:`~domainvi.nn.product_of_experts`); of a single modality, :math:`q` is that of its
    encoder. So that each of several can stand alone, half of the rows of a training step that have
    several show one of them, drawn at random, to the encoder; all that was measured is decoded. As
    :math:`q` may be any distribution, this is still a lower bound of the likelihood of all that was
    measured.

    Parameters
    ----------
    parts
        The modalities by name.
    """

    visible: torch.Tensor

    def __init__(self, parts: Mapping[str, Modality]) -> None:
        super().__init__()
        # Registered by place: users choose the names, and PyTorch does not take all of them.
        self.stack = nn.ModuleList(parts.values())
        self.parts = dict(parts)
        self.n_input = sum(part.n_input for part in parts.values())
        # Share of the rows of a training step that show one modality to the encoder.
        self.alone = 0.5
        # Modalities that the encoder may look at.
        self.register_buffer("visible", torch.ones(len(parts), dtype=torch.bool), False)

    @property
    def only(self) -> Modality:
        """The modality of a model that has one."""
        if len(self.parts) > 1:
            msg = f"This works on models of one modality, and this one has {', '.join(self.parts)}."
            raise InputError(msg)
        return next(iter(self.parts.values()))

    def blocks(self) -> list[tuple[str, Modality, slice]]:
        """List the modalities with their names and columns."""
        out, start = [], 0
        for name, part in self.parts.items():
            out.append((name, part, slice(start, start + part.n_input)))
            start += part.n_input
        return out

    @property
    def n_members(self) -> int:
        """Number of linear members of all modalities together."""
        return sum(part.linear.n_members for part in self.parts.values())

    @property
    def row_wise_share(self) -> torch.Tensor:
        """Share of the experts of single rows, the mean over modalities with linear members."""
        own = [p.linear.row_wise_share for p in self.parts.values() if p.linear.n_members]
        return torch.stack(own).mean() if own else torch.zeros(())

    @contextmanager
    def looking_at(self, visible: Sequence[bool]) -> Iterator[None]:
        """Let the encoder look at some modalities only."""
        before = self.visible.clone()
        self.visible.copy_(torch.as_tensor(visible))
        try:
            yield
        finally:
            self.visible.copy_(before)

    def seen(self, present: torch.Tensor | None) -> torch.Tensor | None:
        """Modalities that the encoder sees of each row; ``None`` where there is only one.

        In training, half of the rows that have several show one of them.
        """
        if present is None:
            return None
        seen = present.bool() & self.visible
        return keep_one(seen, self.alone) if self.training else seen

    def log_values(
        self, x: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring rows to the log scale of input scaling, ``(n_rows, n_input)``.

        Returns
        -------
        Log values, and library sizes of each modality, ``(n_rows, n_modalities)``.
        """
        parts = [part.input_scale(x[:, block], size_factor) for _, part, block in self.blocks()]
        if len(parts) == 1:
            return parts[0]
        values, libraries = zip(*parts, strict=True)
        return torch.cat(values, dim=1), torch.cat(libraries, dim=1)

    def encode(self, u: torch.Tensor, domain: torch.Tensor, seen: torch.Tensor | None) -> Moments:
        """Mean and variance of ``q(z | x)`` for log values of rows with these domain codes."""
        if seen is None:
            return self.only.encode(u, domain)
        experts = [
            part.encode(u[:, block], own_domain(domain, seen, i))
            for i, (_, part, block) in enumerate(self.blocks())
        ]
        return joint_posterior(experts, seen)

    def embed(
        self,
        u: torch.Tensor,
        domain: torch.Tensor,
        statistics: Mapping[str, ScalingStatistics],
        seen: torch.Tensor | None,
    ) -> JointOutputs:
        """Encode and classify log values, with other scaling where ``statistics`` has a name."""
        if seen is None:
            ((name, part),) = self.parts.items()
            out = part.embed(u, domain, statistics.get(name))
            return JointOutputs(out.mean, out.variance, out.linear, None, out.reference)
        parts = [
            part.embed(u[:, block], own_domain(domain, seen, i), statistics.get(name))
            for i, (name, part, block) in enumerate(self.blocks())
        ]
        mean, variance = joint_posterior([(p.mean, p.variance) for p in parts], seen)
        linear, has_linear = self.pool([p.linear for p in parts], seen)
        reference = [torch.where(seen[:, i : i + 1], p.reference, 0.0) for i, p in enumerate(parts)]
        return JointOutputs(mean, variance, linear, has_linear, torch.cat(reference, dim=1))

    def pool(
        self, linear: Sequence[torch.Tensor | None], seen: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        r"""Average the linear ensembles of the modalities that a row has.

        A modality counts by how far its views of the target agree and are sure, one less the
        share of the experts of single rows.

        Parameters
        ----------
        linear
            Log-probabilities of each modality, ``(n_rows, n_classes)``; ``None`` without members.
        seen
            Which modalities a row has, boolean, ``(n_rows, n_modalities)``.

        Returns
        -------
        Log-probabilities, and whether a row has any such modality, ``(n_rows, 1)``.
        """
        weights, probabilities = [], []
        for i, (own, part) in enumerate(zip(linear, self.parts.values(), strict=True)):
            if own is not None:
                share = (1 - part.linear.row_wise_share).clamp_min(1e-6)
                weights.append(share * seen[:, i : i + 1])
                probabilities.append(torch.exp(own))
        if not weights:
            return None, torch.zeros_like(seen[:, :1])
        weight = torch.stack(weights)
        total = weight.sum(dim=0)
        p = (weight * torch.stack(probabilities)).sum(dim=0) / total.clamp_min(1e-6)
        return torch.log(p.clamp_min(1e-12)), total > 0

    def decode(
        self,
        z: torch.Tensor,
        library: torch.Tensor,
        domain: torch.Tensor,
        covariates: torch.Tensor,
        present: torch.Tensor | None,
        genes: torch.Tensor | None,
    ) -> Distribution:
        """Distribution of the values of all genes or of those numbered, by latents of rows."""
        if present is None:
            return self.only.decode(z, library, domain, covariates, genes)
        every = torch.arange(self.n_input, device=z.device) if genes is None else genes
        decoded, columns = [], []
        for i, (_, part, block) in enumerate(self.blocks()):
            own = torch.nonzero((every >= block.start) & (every < block.stop)).squeeze(-1)
            some = None if genes is None else every[own] - block.start
            decoded.append(part.decode(z, library[:, i : i + 1], domain, covariates, some))
            columns.append(own)
        return BlockDistribution(decoded, columns, present.bool())


def joint_posterior(experts: Sequence[Moments], seen: torch.Tensor) -> Moments:
    """Mean and variance of the product of the modalities that a row has."""
    mean, variance = (torch.stack(moments) for moments in zip(*experts, strict=True))
    return product_of_experts(mean, variance, seen)


def own_domain(domain: torch.Tensor, seen: torch.Tensor, i: int) -> torch.Tensor:
    """Domain codes for modality ``i``: rows without it may be of a domain that it has not seen."""
    return torch.where(seen[:, i], domain, 0)


def keep_one(present: torch.Tensor, alone: float) -> torch.Tensor:
    """Keep one modality, drawn at random, of some rows; the others keep all.

    Parameters
    ----------
    present
        Which modalities a row has, boolean, ``(n_rows, n_modalities)``.
    alone
        Share of rows that keep one.
    """
    draw = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0)
    one = functional.one_hot(draw.argmax(dim=1), present.shape[1]).bool() & present
    drawn = torch.rand(len(present), 1, device=present.device) < alone
    return torch.where(drawn, one, present)
