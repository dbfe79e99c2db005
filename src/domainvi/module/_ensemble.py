"""The network and its linear members together: embeddings and class probabilities of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from scvi.module.base import auto_move_data
from torch.nn import functional

from domainvi.errors import InputError
from domainvi.nn import (
    Classifier,
    GaussianEncoder,
    InputMap,
    LinearEnsemble,
    Standardiser,
    class_log_softmax,
)

from ._scaled import ExpressionModule

if TYPE_CHECKING:
    from ._target_heads import TargetHeads, TargetScores

N_REFERENCE = 30
# Parts of an embedding that cost time and are seldom needed.
OPTIONAL_PARTS = ("variance", "reference")
Table = tuple[torch.Tensor, torch.Tensor]


class Embedding(NamedTuple):
    """What the module says of rows.

    Parameters
    ----------
    mean, variance
        Of ``q(z | x)``, each ``(n_rows, n_latent)``.
    network, linear
        Log-probabilities of the network and of the linear members, each ``(n_rows, n_classes)``.
    reference
        Principal components of the rows by the twin's z-scores, un-adapted, ``(n_rows, 30)``.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    network: torch.Tensor
    linear: torch.Tensor
    reference: torch.Tensor


@dataclass(frozen=True)
class ScalingTables:
    """Centre and scale by domain for rows that the stored tables do not serve.

    Parameters
    ----------
    network
        Of the network, each ``(n_domains, n_input)``.
    linear
        Of the linear members, each ``(n_members, n_domains, n_input)``.
    """

    network: Table
    linear: Table


class EnsembleModule(ExpressionModule):
    """Input scaling, linear members and what they and the network say of rows, without a draw."""

    n_input: int
    n_domains: list[int]
    n_classes: int
    standardiser: Standardiser
    z_encoder: GaussianEncoder
    classifier: Classifier
    linear: LinearEnsemble
    targets: TargetHeads | None
    network_share: torch.Tensor
    class_prior: torch.Tensor
    reference_basis: torch.Tensor
    reference_origin: torch.Tensor
    log_prior: torch.Tensor

    def add_ensemble(self) -> None:
        """Add buffers and linear members; all are set from the training rows."""
        # What is added to the scores of a domain's rows for its class mix.
        self.register_buffer("log_prior", torch.zeros(self.n_domains[0], self.n_classes))
        # Share of the network in the predictions.
        self.register_buffer("network_share", torch.ones(()))
        # Library size that counts are brought to: the median of the training rows.
        self.register_buffer("target_sum", torch.tensor(1e4))
        self.register_buffer("size_factor_scale", torch.ones(()))
        self.register_buffer("class_prior", torch.full((self.n_classes,), 1.0 / self.n_classes))
        self.set_linear_members(0)
        # Principal components of the un-adapted rows, a space in which no unknown was aligned.
        n_reference = min(N_REFERENCE, self.n_input)
        self.register_buffer("reference_basis", torch.zeros(self.n_input, n_reference))
        self.register_buffer("reference_origin", torch.zeros(n_reference))

    def set_linear_members(self, n_members: int) -> None:
        """Make room for this many linear members; they start without a say."""
        size = (self.n_domains[0], self.n_input, self.n_classes)
        self.linear = LinearEnsemble(n_members, *size).to(self.network_share.device)
        self.network_share.fill_(0.5 if n_members else 1.0)

    @auto_move_data
    def embed(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        tables: ScalingTables | None = None,
    ) -> Embedding:
        """Encode and classify rows without drawing ``z``."""
        domain = batch_index.squeeze(-1).long()
        u = self.log_values(x, self.library_size(x, size_factor))
        return self.embed_log(u, domain, tables)

    def embed_log(
        self, u: torch.Tensor, domain: torch.Tensor, tables: ScalingTables | None = None
    ) -> Embedding:
        """Do the work of :meth:`embed` for log values ``u`` and domain codes ``(n_rows,)``."""
        own, members = (None, None) if tables is None else (tables.network, tables.linear)
        mean, variance = self.z_encoder(self.standardiser(u, domain, own))
        network = functional.log_softmax(self.classifier(mean), dim=1)
        linear = self.linear(u, domain, members) if self.linear.n_members else network
        unadapted = self.standardiser(u, domain, self.twin_tables(tables))
        reference = unadapted @ self.reference_basis - self.reference_origin
        return Embedding(mean, variance, network, linear, reference)

    def input_maps(self, tables: ScalingTables | None = None) -> list[InputMap]:
        """List the linear maps that :meth:`embed` begins with: projection, members, components."""
        projection = self.z_encoder.projection
        own = (self.standardiser.loc, self.standardiser.scale)
        centre, scale = self.linear.centre, self.linear.scale
        if tables is not None:
            own, (centre, scale) = tables.network, tables.linear
        members = zip(centre, scale, self.linear.coef, self.linear.intercept, strict=True)
        maps = [InputMap(*own, projection.weight.T, projection.bias)]
        maps += [InputMap(*parts) for parts in members]
        reference = InputMap(
            maps[-1].centre, maps[-1].scale, self.reference_basis, -self.reference_origin
        )
        return [*maps, reference]

    def embed_scores(
        self, scores: list[torch.Tensor], wanted: tuple[str, ...] = OPTIONAL_PARTS
    ) -> Embedding:
        """Do the rest of :meth:`embed`, from the scores of :meth:`input_maps`.

        Parts that are not wanted are empty. The scores of the components are the last ones.
        """
        n = self.linear.n_members
        projected, members, rest = scores[0], scores[1 : n + 1], scores[n + 1 :]
        hidden = self.z_encoder.hidden(projected)
        mean = self.z_encoder.mean(hidden)
        network = class_log_softmax(self.classifier(mean))
        linear = self.linear.combine(members) if n else network
        empty = mean[:, :0]
        variance = self.z_encoder.variance(hidden) if "variance" in wanted else empty
        reference = rest[0] if "reference" in wanted else empty
        return Embedding(mean, variance, network, linear, reference)

    @auto_move_data
    def score_targets(
        self,
        mean: torch.Tensor,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        tables: ScalingTables | None = None,
    ) -> TargetScores:
        """Raw scores of the further phenotypes for rows whose latents have this ``mean``."""
        domain = batch_index.squeeze(-1).long()
        u = self.log_values(x, self.library_size(x, size_factor))
        return self.target_heads(mean, self.standardised_by_domain(u, domain, tables))

    @property
    def target_heads(self) -> TargetHeads:
        """The heads of the further phenotypes.

        Raises
        ------
        InputError
            If there are none.
        """
        if self.targets is None:
            msg = "The model has no targets. Name them as target_keys in setup_anndata."
            raise InputError(msg)
        return self.targets

    def twin_tables(self, tables: ScalingTables | None) -> Table:
        """Centre and scale of the twin; those of the network where there are no members."""
        if not self.linear.n_members:
            own = self.standardiser
            return (own.loc, own.scale) if tables is None else tables.network
        centre, scale = (self.linear.centre, self.linear.scale) if tables is None else tables.linear
        return centre[-1], scale[-1]

    def standardised_by_domain(
        self, u: torch.Tensor, domain: torch.Tensor, tables: ScalingTables | None = None
    ) -> torch.Tensor:
        """Standardise log values by their domain, as the linear members of the targets read them.

        The twin's genes are standardised as the twin does, and the others, of which it makes no
        use, as the network does.
        """
        own = self.standardiser
        others = (own.loc, own.scale) if tables is None else tables.network
        twin = self.twin_tables(tables)
        unused = torch.isinf(twin[1])
        centre, scale = (torch.where(unused, o, t) for o, t in zip(others, twin, strict=True))
        return self.standardiser(u, domain, (centre, scale))

    def target_scores(
        self, key: str, u: torch.Tensor, domain: torch.Tensor, tables: ScalingTables | None = None
    ) -> torch.Tensor:
        """Scores of a further phenotype for log values ``u``, differentiable in them.

        Returns
        -------
        Log-probabilities of the classes, ``(n_rows, n_classes)``, or of a numeric target the
        values, ``(n_rows, 1)``.
        """
        heads = self.target_heads
        own = None if tables is None else tables.network
        mean, _ = self.z_encoder(self.standardiser(u, domain, own))
        scores = heads(mean, self.standardised_by_domain(u, domain, tables))
        i = heads.index(key)
        if heads.targets[i].is_numeric:
            return heads.values(i, scores, domain)[0][:, None]
        return heads.log_probabilities(i, scores, domain)

    def ensemble(
        self, network: torch.Tensor, linear: torch.Tensor, domain: torch.Tensor
    ) -> torch.Tensor:
        """Average network and linear members and correct for the class mix of the domain.

        Parameters
        ----------
        network, linear
            Log-probabilities, shape ``(n_rows, n_classes)``.
        domain
            Domain codes, shape ``(n_rows,)``; domains unseen in training are not corrected.
        """
        known = domain < len(self.log_prior)
        prior = self.log_prior[torch.where(known, domain, 0)] * known[:, None]
        share = self.network_share
        p = (1 - share) * torch.exp(linear) + share * torch.exp(network)
        return class_log_softmax(torch.log(p.clamp_min(1e-12)) + prior)
