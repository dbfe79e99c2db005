"""The module of DomainVI for several modalities of the same rows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from scvi.module.base import auto_move_data
from torch.distributions import Distribution, Normal
from torch.nn import functional

from domainvi._compat import MODULE_KEYS
from domainvi.data import MODALITIES
from domainvi.nn import NamedModules, product_of_experts

from ._blocks import BlockDistribution
from ._domain_vae import DomainVAE
from ._ensemble import Embedding, ScalingTables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What the parts have, each for its own genes, and the whole does not.
OF_PARTS = (
    "standardiser",
    "z_encoder",
    "decoder",
    "likelihood",
    "class_prior",
    "target_sum",
    "size_factor_scale",
    "reference_basis",
    "reference_origin",
)
# Arguments that parts and whole share.
SHARED = (
    "n_cats_per_cov",
    "n_continuous_cov",
    "n_latent",
    "n_hidden",
    "n_layers",
    "n_components",
    "dropout_rate",
)


class PooledMembers:
    """The linear members of all parts, as one ensemble.

    Parameters
    ----------
    parts
        The parts.
    """

    def __init__(self, parts: Sequence[DomainVAE]) -> None:
        self._parts = list(parts)

    @property
    def n_members(self) -> int:
        """Linear classifiers of all parts together."""
        return sum(part.linear.n_members for part in self._parts)

    @property
    def baseline_share(self) -> torch.Tensor:
        """Share of the source-only baseline, the mean of those of the parts."""
        own = [part.linear.baseline_share for part in self._parts if part.linear.n_members]
        return torch.stack(own).mean() if own else torch.zeros(())


class MultimodalVAE(DomainVAE):
    r"""One latent space for several modalities, any of which a row may lack.

    Each modality :math:`m` is a part, a :class:`DomainVAE` with its own input scaling, encoder,
    linear members, decoder and likelihood. With :math:`P` the modalities of a row,

    .. math:: q(z \mid x) \propto N(z; 0, I) \prod_{m \in P} q_m(z \mid s_m(x_m)), \qquad
              \log p(x \mid z, d) = \sum_{m \in P} \log p_m(x_m \mid z, d),

    the product of experts of Wu and Goodman (NeurIPS 2018,
    :func:`~domainvi.nn.product_of_experts`). One phenotype head and one adversary read :math:`z`,
    and the loss is that of :class:`DomainVAE`. So that each modality can stand alone, half of the
    rows of a training step that have several show one of them, drawn at random, to the encoder;
    all that was measured is decoded. As :math:`q` may be any distribution, this is still a lower
    bound of the likelihood of all that was measured.

    Class probabilities are the mean of the head's and of the linear members', which are averaged
    over the modalities that a row has (:meth:`pool`).

    Parameters
    ----------
    n_input
        Genes of each modality.
    n_domains, n_classes
        As for :class:`DomainVAE`.
    likelihood
        Of each modality.
    **parameters
        As for :class:`DomainVAE`.
    """

    visible: torch.Tensor

    def __init__(
        self,
        n_input: dict[str, int],
        n_domains: list[int],
        n_classes: int,
        likelihood: dict[str, str],
        **parameters: Any,
    ) -> None:
        super().__init__(sum(n_input.values()), n_domains, n_classes, **parameters)
        for name in OF_PARTS:
            delattr(self, name)
        shared = {k: parameters[k] for k in SHARED if k in parameters}
        self.parts: dict[str, DomainVAE] = NamedModules(  # type: ignore[assignment]
            {
                name: DomainVAE(
                    n, n_domains, n_classes, likelihood=likelihood[name], adversary="none", **shared
                )
                for name, n in n_input.items()
            }
        )
        for part in self.parts.values():
            part.classifier = self.classifier
        self.linear = PooledMembers(list(self.parts.values()))  # type: ignore[assignment]
        self.experts = product_of_experts
        # Share of the rows of a training step that show one modality to the encoder.
        self.alone = 0.5
        # The un-adapted components of the parts stand side by side.
        origins = [part.reference_origin for part in self.parts.values()]
        self.register_buffer("reference_origin", torch.cat(origins), False)
        # Modalities that the encoder may look at.
        self.register_buffer("visible", torch.ones(len(n_input), dtype=torch.bool), False)

    def set_linear_members(self, n_members: int) -> None:
        """Set the network's share: the members belong to the parts."""
        self.network_share.fill_(0.5 if n_members else 1.0)

    @property
    def blocks(self) -> dict[str, slice]:
        """Columns of each part."""
        out, start = {}, 0
        for name, part in self.parts.items():
            out[name] = slice(start, start + part.n_input)
            start += part.n_input
        return out

    @contextmanager
    def looking_at(self, visible: Sequence[bool]) -> Iterator[None]:
        """Let the encoder look at some modalities only."""
        before = self.visible.clone()
        self.visible.copy_(torch.as_tensor(visible))
        try:
            yield
        finally:
            self.visible.copy_(before)

    def _get_inference_input(self, tensors: dict[str, torch.Tensor]) -> dict:
        return super()._get_inference_input(tensors) | {"present": tensors[MODALITIES]}

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict
    ) -> dict:
        inputs = super()._get_generative_input(tensors, inference_outputs)
        return inputs | {"present": tensors[MODALITIES]}

    @auto_move_data
    def embed(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        present: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        tables: dict[str, ScalingTables] | None = None,
    ) -> Embedding:
        """Encode and classify rows by the modalities that they have, without drawing ``z``."""
        seen = present.bool() & self.visible
        parts = []
        for i, (name, part, block) in enumerate(self._parts()):
            own = None if tables is None else tables.get(name)
            domain = own_domain(batch_index, seen[:, i])
            parts.append(part.embed(x[:, block], domain, tables=own))
        mean, variance = self.experts(
            torch.stack([p.mean for p in parts]), torch.stack([p.variance for p in parts]), seen
        )
        network = functional.log_softmax(self.classifier(mean), dim=1)
        linear = self.pool(torch.stack([p.linear for p in parts]), seen, network)
        reference = [torch.where(seen[:, i : i + 1], p.reference, 0.0) for i, p in enumerate(parts)]
        return Embedding(mean, variance, network, linear, torch.cat(reference, dim=1))

    def _parts(self) -> list[tuple[str, DomainVAE, slice]]:
        blocks = self.blocks
        return [(name, part, blocks[name]) for name, part in self.parts.items()]

    def pool(self, linear: torch.Tensor, seen: torch.Tensor, network: torch.Tensor) -> torch.Tensor:
        r"""Average the parts' linear members over the modalities that a row has.

        A part counts by :math:`(1 - \varepsilon)^2`, the square of the agreement of its readings of
        the target (:class:`~domainvi.nn.LinearEnsemble`), as a view does among the views of a part.

        Parameters
        ----------
        linear
            Log-probabilities of the parts, shape ``(n_modalities, n_rows, n_classes)``.
        seen
            Which modalities a row has, boolean, ``(n_rows, n_modalities)``.
        network
            Those of the network, which answers for rows without any member.
        """
        say = [
            (1 - part.linear.baseline_share).square().clamp_min(1e-6) * (part.linear.n_members > 0)
            for part in self.parts.values()
        ]
        weight = (seen * torch.stack(say)).T[..., None]
        total = weight.sum(dim=0)
        p = (weight * torch.exp(linear)).sum(dim=0) / total.clamp_min(1e-6)
        return torch.where(total > 0, torch.log(p.clamp_min(1e-12)), network)

    @auto_move_data
    def inference(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        present: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        n_samples: int = 1,
    ) -> dict[str, Distribution | torch.Tensor]:
        """Encode rows; in training, half of those with several modalities by one of them."""
        seen = present.bool() & self.visible
        if self.training:
            seen = keep_one(seen, self.alone)
        moments, libraries = [], []
        for i, (_, part, block) in enumerate(self._parts()):
            own = part.inference(x[:, block], own_domain(batch_index, seen[:, i]))
            moments.append(own[MODULE_KEYS.QZ_KEY])
            libraries.append(own["library"])
        mean, variance = self.experts(
            torch.stack([q.loc for q in moments]), torch.stack([q.variance for q in moments]), seen
        )
        return self.draw(mean, variance, n_samples) | {"library": torch.cat(libraries, dim=1)}

    @auto_move_data
    def generative(
        self,
        z: torch.Tensor,
        library: torch.Tensor,
        batch_index: torch.Tensor,
        present: torch.Tensor,
        extra_domains: torch.Tensor | None = None,
        cat_covs: torch.Tensor | None = None,
        cont_covs: torch.Tensor | None = None,
        genes: torch.Tensor | None = None,
    ) -> dict[str, Distribution]:
        """Decode latents to the distribution of all modalities."""
        every = torch.arange(self.n_input, device=z.device) if genes is None else genes
        distributions, columns = [], []
        for i, (_, part, block) in enumerate(self._parts()):
            own = torch.nonzero((every >= block.start) & (every < block.stop)).squeeze(-1)
            decoded = part.generative(
                z,
                library[:, i : i + 1],
                own_domain(batch_index, present[:, i].bool()),
                extra_domains,
                cat_covs,
                cont_covs,
                None if genes is None else every[own] - block.start,
            )
            distributions.append(decoded[MODULE_KEYS.PX_KEY])
            columns.append(own)
        px = BlockDistribution(distributions, columns, present.bool())
        prior = Normal(torch.zeros_like(z), torch.ones_like(z))
        return {MODULE_KEYS.PX_KEY: px, MODULE_KEYS.PZ_KEY: prior}


def own_domain(batch_index: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Domain codes for one modality: rows without it may be of a domain that its tables lack."""
    return torch.where(seen[:, None], batch_index, 0)


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
