"""Alignment of domains in the latent space: the adversary of each domain column."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from domainvi.errors import InputError
from domainvi.nn import (
    Critic,
    DomainAdversary,
    balanced_cross_entropy,
    critic_loss,
    encoder_loss,
    one_hot,
    reverse_gradient,
    standardise_columns,
    weighted_cross_entropy,
    within_class_weight,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ADVERSARIES = ("conditional", "marginal", "wasserstein", "none")
HEAD_WIDTHS = (256, 256)


class DomainAlignment(nn.Module):
    r"""Hide the domain from the latents, one adversary a domain column.

    ``"conditional"`` and ``"marginal"`` train a domain head and reverse its gradient with weight
    :math:`\lambda` (:class:`~domainvi.nn.DomainAdversary`). The head sees posterior means, which
    are what users get, and not samples, whose noise would hide the domain from it alone. They are
    standardised over the batch, so that nothing can be hidden by shrinking it. The conditional form
    compares domains within each class (:func:`~domainvi.nn.within_class_weight`) and takes
    every class as certain, known or predicted: from probabilities a head would learn which domain
    has labels. ``"wasserstein"`` trains a critic (:class:`~domainvi.nn.Critic`) on the main domain
    column and pulls the rows of target domains to those of source domains. Weight 0 gives the
    encoder exactly the gradient of ``"none"``.

    Parameters
    ----------
    kind
        One of the four names.
    n_latent
        Dimensions of ``z``.
    n_domains
        Levels of each domain column.
    n_classes
        Classes.
    """

    is_source: torch.Tensor

    def __init__(self, kind: str, n_latent: int, n_domains: list[int], n_classes: int) -> None:
        super().__init__()
        if kind not in ADVERSARIES:
            msg = f"adversary={kind!r} is not known. Use one of {', '.join(ADVERSARIES)}."
            raise InputError(msg)
        self.kind = kind
        self.n_classes = n_classes
        # Domain accuracy of a head that knows nothing, for the main domain column.
        self.chance = 0.5 if kind == "wasserstein" else 1.0 / n_domains[0]
        conditional = n_classes if kind == "conditional" else 0
        self.register_buffer("is_source", torch.zeros(n_domains[0], dtype=torch.bool))
        self.heads = nn.ModuleList()
        # A generator of its own: pairs for the penalty must not move the noise of the encoder.
        self.chance_source = np.random.default_rng(0)
        if kind in ("conditional", "marginal"):
            self.heads.extend(
                DomainAdversary(n_latent, n, conditional, HEAD_WIDTHS) for n in n_domains
            )
        elif kind == "wasserstein":
            self.heads.append(Critic(n_latent))
        # Classes that each domain of a column has.
        for i, n in enumerate(n_domains):
            self.register_buffer(f"support_{i}", torch.ones(n, n_classes, dtype=torch.bool))

    def forward(
        self,
        z: torch.Tensor,
        code: torch.Tensor,
        domains: list[torch.Tensor],
        weight: float,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the alignment loss and its metrics.

        Parameters
        ----------
        z
            Posterior means, shape ``(n_rows, n_latent)``.
        code
            Class codes, known or predicted, shape ``(n_rows,)``.
        domains
            Domain codes of each column.
        weight
            Weight of the adversary at this step.
        """
        if self.kind == "none":
            return z.new_zeros(()), {}
        if self.kind == "wasserstein":
            return self._wasserstein(z, domains[0], weight)
        z = reverse_gradient(standardise_columns(z), weight)
        answers = [(head(x), loss_of) for head, x, loss_of in self._questions(z, code, domains)]
        loss = torch.stack([loss_of(scores) for scores, loss_of in answers]).sum()
        accuracy = balanced_domain_accuracy(answers[0][0], domains[0])
        return loss, {"adversary_loss": loss, "domain_accuracy": accuracy}

    def heads_loss(
        self, z: torch.Tensor, code: torch.Tensor, domains: list[torch.Tensor]
    ) -> Callable[[], torch.Tensor]:
        """Loss of the heads on constant latents, for several steps on the same rows.

        What does not depend on the heads is computed once; arguments as of :meth:`forward`.
        """
        if self.kind in ("none", "wasserstein"):
            return lambda: self(z, code, domains, 0.0)[0]
        questions = self._questions(standardise_columns(z), code, domains)
        return lambda: torch.stack([loss_of(head(x)) for head, x, loss_of in questions]).sum()

    def _questions(
        self, z: torch.Tensor, code: torch.Tensor, domains: list[torch.Tensor]
    ) -> list[tuple[nn.Module, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]]:
        """Head of each domain column, what it sees of these rows, and the loss of its scores."""
        p = one_hot(code, self.n_classes)
        questions: list[tuple[nn.Module, torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]] = []
        for i, (head, domain) in enumerate(zip(self.heads, domains, strict=True)):
            assert isinstance(head, DomainAdversary)
            loss: Callable[[torch.Tensor], torch.Tensor]
            if self.kind == "conditional":
                weight, possible = within_class_weight(
                    domain, code, self.get_buffer(f"support_{i}")
                )
                loss = partial(
                    weighted_cross_entropy, domain=domain, weight=weight, possible=possible
                )
            else:
                loss = partial(balanced_cross_entropy, domain=domain)
            questions.append((head.network, head.join(z, p), loss))
        return questions

    def _shuffled(self, z: torch.Tensor) -> torch.Tensor:
        return z[torch.from_numpy(self.chance_source.permutation(len(z))).to(z.device)]

    def _wasserstein(
        self, z: torch.Tensor, domain: torch.Tensor, weight: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        critic = self.heads[0]
        source = self.is_source[domain]
        if source.all() or not source.any():
            return z.new_zeros(()), {}
        if torch.is_grad_enabled():
            rows = [self._shuffled(z[mask]) for mask in (source, ~source)]
            mix = torch.from_numpy(self.chance_source.random((min(map(len, rows)), 1)))
            discrimination = critic_loss(critic, rows[0], rows[1], mix.to(z))
            pull = encoder_loss(critic, z[~source])
        else:
            # The gradient penalty cannot be had without gradients: held-out rows go without.
            discrimination = pull = z.new_zeros(())
        with torch.no_grad():
            scores = critic(z)
            midpoint = (scores[source].mean() + scores[~source].mean()) / 2
            guess = torch.stack([scores <= midpoint, scores > midpoint], dim=1).float()
            accuracy = balanced_domain_accuracy(guess, source.long())
        metrics = {"domain_accuracy": accuracy}
        if torch.is_grad_enabled():
            metrics["adversary_loss"] = discrimination
        return discrimination + weight * pull, metrics


@torch.no_grad()
def balanced_domain_accuracy(scores: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
    """Share of rows whose domain is found, averaged over the domains in the batch."""
    hit = (scores.argmax(dim=1) == domain).float()
    n = scores.shape[1]
    total = hit.new_zeros(n).index_add(0, domain, torch.ones_like(hit))
    hits = hit.new_zeros(n).index_add(0, domain, hit)
    return (hits / total.clamp_min(1)).sum() / (total > 0).sum().clamp_min(1)
