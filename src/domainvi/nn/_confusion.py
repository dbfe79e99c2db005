"""Minimum class confusion: target predictions should not hesitate between two classes."""

from __future__ import annotations

import torch
from torch.nn import functional


def class_confusion(logits: torch.Tensor, temperature: float = 2.5) -> torch.Tensor:
    r"""Minimum class confusion of a batch of unlabelled rows.

    With :math:`p_i = \mathrm{softmax}(l_i / T)` and weights
    :math:`w_i = n (1 + e^{-H(p_i)}) / \sum_j (1 + e^{-H(p_j)})` that favour certain rows, the
    confusion of two classes is :math:`C_{ab} = \sum_i p_{ia} w_i p_{ib}`. Rows of :math:`C` are
    normalised to one, and the loss is the mean off-diagonal mass

    .. math:: L = \frac{1}{K} \sum_{a \ne b} \frac{C_{ab}}{\sum_c C_{ac}}.

    Source: Jin et al., *Minimum Class Confusion for Versatile Domain Adaptation*, ECCV 2020.
    The entropies :math:`H` weigh the rows and carry no gradient.

    Parameters
    ----------
    logits
        Class scores, shape ``(n_rows, n_classes)``.
    temperature
        :math:`T`. Softens the predictions, since networks are overconfident.

    Returns
    -------
    A 0-d tensor in [0, 1 - 1 / n_classes]; 0 for fewer than two rows or two classes.

    Examples
    --------
    >>> float(class_confusion(torch.zeros(4, 2)))
    0.5
    """
    n, k = logits.shape
    if n < 2 or k < 2:
        return logits.new_zeros(())
    p = functional.softmax(logits / temperature, dim=1)
    with torch.no_grad():
        entropy = torch.special.entr(p).sum(dim=1)
        w = 1.0 + torch.exp(-entropy)
        w = n * w / w.sum()
    confusion = (p * w[:, None]).T @ p
    confusion = confusion / confusion.sum(dim=1, keepdim=True).clamp_min(1e-8)
    return (confusion.sum() - confusion.diagonal().sum()) / k
