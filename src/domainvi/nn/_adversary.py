"""Domain head behind gradient reversal, marginal or conditioned on the class."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: float) -> torch.Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0].mul(-ctx.weight), None


def reverse_gradient(x: torch.Tensor, weight: float) -> torch.Tensor:
    r"""Return ``x`` unchanged; its gradient arrives multiplied by :math:`-\lambda`.

    One optimiser then solves the min-max problem of domain-adversarial training
    (Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016).

    Parameters
    ----------
    x
        Tensor of any shape.
    weight
        :math:`\lambda`. At 0 the gradient is exactly zero, so the encoder does not feel the head.

    Examples
    --------
    >>> x = torch.ones(3, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000, -0.5000])
    """
    return _Reverse.apply(x, weight)


MAX_OUTER = 1024


class DomainAdversary(nn.Module):
    r"""Predict the domain of a row from its latents, to teach the encoder to hide it.

    *Marginal* (DANN; Ganin et al. 2016): the input is :math:`z`. *Conditional* (CDAN; Long et al.,
    NeurIPS 2018): the input is the outer product :math:`z \otimes p` with the one-hot class
    :math:`p`, known or predicted, so that domains are compared class by class. When the product has
    more than 1,024 entries it is replaced by a fixed random projection of the same inner products
    (the randomised map of the same paper).

    Parameters
    ----------
    n_latent
        Dimensions of ``z``.
    n_domains
        Domains.
    n_classes
        Classes; 0 builds the marginal form.
    widths
        Widths of the hidden layers.
    """

    map_z: torch.Tensor
    map_p: torch.Tensor

    def __init__(
        self,
        n_latent: int,
        n_domains: int,
        n_classes: int = 0,
        widths: tuple[int, ...] = (64,),
    ) -> None:
        super().__init__()
        self.n_domains = n_domains
        self.conditional = n_classes > 0
        width = n_latent * n_classes if self.conditional else n_latent
        self.randomised = width > MAX_OUTER
        if self.randomised:
            width = 512
            self.register_buffer("map_z", torch.randn(n_latent, width) / width**0.25)
            self.register_buffer("map_p", torch.randn(n_classes, width) / width**0.25)
        layers: list[nn.Module] = []
        for n_out in widths:
            layers += [nn.Linear(width, n_out), nn.LeakyReLU(0.2)]
            width = n_out
        self.network = nn.Sequential(*layers, nn.Linear(width, n_domains))

    def join(self, z: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        """Join latents with class probabilities, taken as constants, to what the head sees."""
        if not self.conditional:
            return z
        p = p.detach()
        if self.randomised:
            return (z @ self.map_z) * (p @ self.map_p)
        return torch.einsum("nl,nk->nlk", z, p).flatten(1)

    def forward(self, z: torch.Tensor, p: torch.Tensor, reversal: float) -> torch.Tensor:
        """Return domain logits; the gradient to ``z`` is multiplied by ``-reversal``.

        Parameters
        ----------
        z
            Latents, shape ``(n_rows, n_latent)``.
        p
            Class probabilities, shape ``(n_rows, n_classes)``; taken as constants.
        reversal
            Weight of the adversary.
        """
        return self.network(self.join(reverse_gradient(z, reversal), p))


def balanced_cross_entropy(
    logits: torch.Tensor, domain: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    r"""Cross-entropy in which each domain that is present carries the same total weight.

    .. math:: L = - \sum_d \frac{1}{D} \frac{\sum_{i \in d} w_i \log q(d \mid i)}
                                            {\sum_{i \in d} w_i},

    so that its value at chance is :math:`\log D` whatever the sizes of the cohorts.

    Parameters
    ----------
    logits
        Domain scores, shape ``(n_rows, n_domains)``.
    domain
        Domain codes, shape ``(n_rows,)``.
    weight
        Weight of each row, shape ``(n_rows,)``; 0 leaves a row out.
    """
    losses = functional.cross_entropy(logits, domain, reduction="none")
    weight = torch.ones_like(losses) if weight is None else weight
    n_domains = logits.shape[1]
    total = weight.new_zeros(n_domains).index_add(0, domain, weight)
    summed = weight.new_zeros(n_domains).index_add(0, domain, weight * losses)
    present = total > 1e-6
    means = torch.where(present, summed / total.clamp_min(1e-8), summed.new_zeros(()))
    return means.sum() / present.sum().clamp_min(1)


def within_class_weight(
    domain: torch.Tensor, code: torch.Tensor, support: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Weigh rows so that domains are compared within each class, whatever the mix of classes.

    With :math:`n_{dk}` rows of domain :math:`d` and class :math:`k`, and :math:`D_k` the domains of
    the batch that have rows of the class, the loss is

    .. math:: L = - \sum_k \frac{h_k}{\sum_j h_j} \frac{1}{|D_k|} \sum_{d \in D_k}
                  \frac{1}{n_{dk}} \sum_{i \in (d, k)} \log q(d \mid i)
                = - \sum_i w_i \log q(d_i \mid i),

    where :math:`q` is restricted to the domains that can have the class, and :math:`h_k` is the
    harmonic mean of :math:`n_{dk}` over :math:`D_k`, that of the rows there are to compare; 0 for
    a class of one domain, which could only be aligned with another class. Whatever the shares of
    the classes in the domains, a head that knows nothing but the class is at chance. Weights do not
    depend on the scores: several steps on the same rows need them once.

    Parameters
    ----------
    domain, code
        Domain and class codes, shape ``(n_rows,)``.
    support
        Whether a domain can have a class, boolean, shape ``(n_domains, n_classes)``. Rows of a
        class that their domain does not have are left out.

    Returns
    -------
    Weights :math:`w`, shape ``(n_rows,)``, and the domains that a row may be of, boolean, shape
    ``(n_rows, n_domains)``: what :func:`weighted_cross_entropy` takes.
    """
    n_domains, n_classes = support.shape
    possible = support.T[code]
    counted = possible.gather(1, domain[:, None]).squeeze(1)
    cell = domain * n_classes + code
    zeros = torch.zeros(n_domains * n_classes, device=domain.device)
    n = zeros.index_add(0, cell, counted.to(zeros.dtype)).view(support.shape)
    n_present = (n > 0).sum(dim=0)
    harmonic = n_present / ((n > 0) / n.clamp_min(1)).sum(dim=0).clamp_min(1e-8)
    compared = harmonic * (n_present > 1)
    share = compared * (1 / compared.sum().clamp_min(1))
    of_row = (share / n_present.clamp_min(1) / n.clamp_min(1)).flatten()[cell] * counted
    return of_row, possible | ~counted[:, None]


def weighted_cross_entropy(
    logits: torch.Tensor, domain: torch.Tensor, weight: torch.Tensor, possible: torch.Tensor
) -> torch.Tensor:
    r"""Cross-entropy over the domains that are possible, :math:`-\sum_i w_i \log q(d_i \mid i)`.

    Parameters
    ----------
    logits
        Domain scores, shape ``(n_rows, n_domains)``.
    domain
        Domain codes, shape ``(n_rows,)``.
    weight
        Weight of each row, shape ``(n_rows,)``.
    possible
        Domains that a row may be of, boolean, shape ``(n_rows, n_domains)``.
    """
    scores = logits.masked_fill(~possible, -torch.inf)
    losses = functional.cross_entropy(scores, domain, reduction="none")
    # No product of vectors: under mixed precision that would round what the losses are not.
    return (losses * weight).sum()


def shared_class_weight(p: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
    r"""Weight of each row: its probability of a class that two domains share.

    :math:`w_i = \sum_k p_{ik} [\,|\{d : S_{dk}\}| \ge 2\,]`. A class that one domain alone has
    (normal tissue in one cohort only, say) takes no part in alignment, since nothing could be
    aligned with it but another class.

    Parameters
    ----------
    p
        Class probabilities or one-hot labels, shape ``(n_rows, n_classes)``.
    support
        Whether a domain has a class, boolean, shape ``(n_domains, n_classes)``.
    """
    shared = (support.sum(dim=0) >= 2).to(p.dtype)
    return (p * shared).sum(dim=1)
