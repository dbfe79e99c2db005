"""The linear members of the ensemble: one linear map a view of the standardised rows."""

from __future__ import annotations

import torch
from torch import nn

from ._standardise import CLIP


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
    \mathrm{clip}((x - c_{md}) / s_{md})^\top B_m + b_m\bigr)`. The last one is the source-only
    baseline, with share :math:`\varepsilon`; the others are averaged with weights :math:`w` that
    sum to one, and sharpened with the exponent :math:`a`:

    .. math:: p = (1 - \varepsilon)\, \mathrm{normalise}\Bigl(\bigl(\sum_m w_m p_m\bigr)^a\Bigr)
                  + \varepsilon\, p_\mathrm{baseline}

    The members are fitted before the network is trained
    (:func:`domainvi.linear.fit_linear_ensemble`) and stay as they are; they are saved with the
    weights.

    Parameters
    ----------
    n_members
        Members, the baseline among them: two or more, or 0 for an ensemble without effect.
    n_domains, n_input, n_classes
        Sizes.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    coef: torch.Tensor
    intercept: torch.Tensor
    weight: torch.Tensor
    sharpness: torch.Tensor
    baseline_share: torch.Tensor
    is_shared: torch.Tensor

    def __init__(self, n_members: int, n_domains: int, n_input: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(n_members, n_domains, n_input))
        self.register_buffer("scale", torch.ones(n_members, n_domains, n_input))
        self.register_buffer("coef", torch.zeros(n_members, n_input, n_classes))
        self.register_buffer("intercept", torch.zeros(n_members, n_classes))
        self.register_buffer("weight", torch.ones(n_members) / max(n_members, 1))
        self.register_buffer("sharpness", torch.ones(()))
        self.register_buffer("baseline_share", torch.zeros(()))
        # Members that standardise every domain alike, new ones too.
        self.register_buffer("is_shared", torch.zeros(n_members, dtype=torch.bool))

    @property
    def n_members(self) -> int:
        """Number of linear classifiers."""
        return len(self.weight)

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
        *members, baseline = [class_softmax(s) for s in scores]
        average = sum(w * p for w, p in zip(self.weight[:-1], members, strict=True))
        logits = self.sharpness * torch.log(torch.as_tensor(average).clamp_min(1e-6))
        p = (1 - self.baseline_share) * class_softmax(logits) + self.baseline_share * baseline
        return torch.log(p.clamp_min(1e-12))
