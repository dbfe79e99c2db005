"""Input scaling, and the ensemble of linear classifiers on differently scaled rows."""

from __future__ import annotations

import torch
from torch import nn

CLIP = 8.0


def log_normalise(
    x: torch.Tensor,
    library: torch.Tensor,
    target_sum: float | torch.Tensor,
    n_stored: torch.Tensor | None = None,
) -> torch.Tensor:
    r"""Bring counts to :math:`\log(1 + t x_g / \ell)` with library size :math:`\ell`.

    Parameters
    ----------
    x
        Counts, shape ``(n_rows, n_genes)``.
    library
        Library size of each row, shape ``(n_rows, 1)``.
    target_sum
        :math:`t`, the library size that all rows are brought to.
    n_stored
        Given, ``x`` are the stored values of sparse rows, and this is how many each has.

    Examples
    --------
    >>> log_normalise(torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0]]), 1e4)
    tensor([[0.0000, 9.2104]])
    """
    ratio = target_sum / library.clamp_min(1e-8)
    if n_stored is not None:
        ratio = torch.repeat_interleave(ratio.squeeze(1), n_stored, output_size=len(x))
    return torch.log1p(x * ratio)


class Standardiser(nn.Module):
    """Centre and scale by domain; saved with the weights.

    Parameters
    ----------
    n_domains
        Number of domains.
    n_input
        Genes.
    """

    loc: torch.Tensor
    scale: torch.Tensor
    is_shared: torch.Tensor

    def __init__(self, n_domains: int, n_input: int) -> None:
        super().__init__()
        self.register_buffer("loc", torch.zeros(n_domains, n_input))
        self.register_buffer("scale", torch.ones(n_domains, n_input))
        # Whether every domain, new ones too, has the same centre and scale.
        self.register_buffer("is_shared", torch.zeros((), dtype=torch.bool))

    def set_statistics(self, loc: torch.Tensor, scale: torch.Tensor) -> None:
        """Replace centre and scale, each ``(n_domains, n_input)``."""
        self.loc.copy_(loc)
        self.scale.copy_(scale)

    def forward(
        self,
        x: torch.Tensor,
        domain: torch.Tensor,
        statistics: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Standardise rows by the statistics of their domain and clip at ±8 standard deviations.

        Parameters
        ----------
        x
            Log values, shape ``(n_rows, n_input)``.
        domain
            Domain codes, shape ``(n_rows,)``.
        statistics
            Centre and scale to use in place of the stored ones, for cohorts that were not in
            training.
        """
        loc, scale = (self.loc, self.scale) if statistics is None else statistics
        return ((x - loc[domain]) / scale[domain]).clamp(-CLIP, CLIP)


def class_softmax(scores: torch.Tensor) -> torch.Tensor:
    """Softmax over the classes of each row, ``(n_rows, n_classes)``.

    On a CPU, torch takes ten times as long over a short last dimension as over the first. Tensors
    with rules of their own (:class:`~domainvi.explain.Paired`) have their rows first.
    """
    if type(scores) is not torch.Tensor:
        return torch.softmax(scores, dim=1)
    return torch.softmax(scores.T.contiguous(), dim=0).T


def class_log_softmax(scores: torch.Tensor) -> torch.Tensor:
    """Logarithm of :func:`class_softmax`."""
    if type(scores) is not torch.Tensor:
        return torch.log_softmax(scores, dim=1)
    return torch.log_softmax(scores.T.contiguous(), dim=0).T


class LinearEnsemble(nn.Module):
    r"""Average of linear classifiers, each on its own standardisation of the rows.

    Member :math:`m` gives :math:`p_m(x, d) = \mathrm{softmax}\bigl(
    \mathrm{clip}((x - c_{md}) / s_{md})^\top B_m + b_m\bigr)`. They are averaged with weights
    :math:`w` that sum to one, and sharpened with the exponent :math:`a`:

    .. math:: p = \mathrm{normalise}\Bigl(\bigl(\sum_m w_m p_m\bigr)^a\Bigr)

    The last one has no say: its centre and scale are those of each domain's own rows, by which
    un-adapted components and auxiliary phenotypes are computed.

    The members are fitted before the network is trained
    (:func:`domainvi.linear.fit_linear_ensemble`) and stay as they are; they are saved with the
    weights.

    Parameters
    ----------
    n_members
        Members, the last one among them: two or more, or 0 for an ensemble without effect.
    n_domains, n_input, n_classes
        Sizes.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    coef: torch.Tensor
    intercept: torch.Tensor
    weight: torch.Tensor
    sharpness: torch.Tensor
    row_wise_share: torch.Tensor
    is_shared: torch.Tensor

    def __init__(self, n_members: int, n_domains: int, n_input: int, n_classes: int) -> None:
        super().__init__()
        self.n_members = n_members
        self.register_buffer("centre", torch.zeros(n_members, n_domains, n_input))
        self.register_buffer("scale", torch.ones(n_members, n_domains, n_input))
        self.register_buffer("coef", torch.zeros(n_members, n_input, n_classes))
        self.register_buffer("intercept", torch.zeros(n_members, n_classes))
        self.register_buffer("weight", torch.ones(n_members) / max(n_members, 1))
        self.register_buffer("sharpness", torch.ones(()))
        # Share of the experts of single rows in what the members were taught.
        self.register_buffer("row_wise_share", torch.zeros(()))
        # Members that standardise every domain alike, new ones too.
        self.register_buffer("is_shared", torch.zeros(n_members, dtype=torch.bool))

    def forward(
        self,
        x: torch.Tensor,
        domain: torch.Tensor,
        statistics: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return log-probabilities of shape ``(n_rows, n_classes)``.

        Parameters
        ----------
        x
            Log values, shape ``(n_rows, n_input)``.
        domain
            Domain codes, shape ``(n_rows,)``.
        statistics
            Centre and scale of each member, ``(n_members, n_domains, n_input)``, in place of the
            stored ones.
        """
        centre, scale = (self.centre, self.scale) if statistics is None else statistics
        parts = []
        for m in range(self.n_members):
            s = ((x - centre[m][domain]) / scale[m][domain]).clamp(-CLIP, CLIP)
            parts.append(s @ self.coef[m] + self.intercept[m])
        return self.combine(parts)

    def combine(self, scores: list[torch.Tensor]) -> torch.Tensor:
        """Return log-probabilities from the scores of each member, ``(n_rows, n_classes)``."""
        members = [class_softmax(s) for s in scores[:-1]]
        average = sum(w * p for w, p in zip(self.weight[:-1], members, strict=True))
        return class_log_softmax(
            self.sharpness * torch.log(torch.as_tensor(average).clamp_min(1e-6))
        )
