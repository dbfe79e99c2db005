"""Encoder weights that move from one model to another, genes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from domainvi.errors import InputError

from ._views import logistic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from domainvi.data import GeneAlignment
    from domainvi.nn import Classifier, GaussianEncoder

PROJECTION = "projection.weight"
START_LOG_VARIANCE = -4.0


@torch.no_grad()
def adopt_encoder(
    encoder: GaussianEncoder, weights: Mapping[str, torch.Tensor], genes: GeneAlignment
) -> None:
    """Copy weights into an encoder of the same sizes on other genes.

    Genes that the weights do not know enter with weight 0 and may learn. The weights of shared
    genes are kept as they are: inputs are standardised, so that an absent gene stands at its mean.

    Parameters
    ----------
    encoder
        What is written.
    weights
        State of the other encoder.
    genes
        Where the genes of ``encoder`` stand among those of the other.

    Raises
    ------
    InputError
        If the encoders differ in anything but their genes.
    """
    own = encoder.state_dict()
    theirs = dict(weights)
    moved = torch.zeros_like(own[PROJECTION])
    mask = torch.from_numpy(genes.mask)
    if PROJECTION in theirs and theirs[PROJECTION].shape[0] == moved.shape[0]:
        moved[:, mask] = theirs[PROJECTION][:, torch.from_numpy(genes.source)[mask]].to(moved)
        theirs[PROJECTION] = moved
    if own.keys() != theirs.keys() or any(own[k].shape != theirs[k].shape for k in own):
        msg = (
            f"pretrain_from has an encoder of widths {widths(theirs)}, and this model one of "
            f"{widths(own)}. Give both models the same n_latent, n_hidden, n_layers and "
            "n_components (which is at most the number of genes)."
        )
        raise InputError(msg)
    encoder.load_state_dict(theirs)


@torch.no_grad()
def settle_latents(encoder: GaussianEncoder, means: torch.Tensor) -> None:
    """Bring the latent means to mean 0 and, together, variance 1, and let them say what they mean.

    What pretraining compares depends neither on where the latents lie nor on their length; the
    prior and the classifier of :meth:`domainvi.DomainVI.train` do. The posterior's variance, of
    which pretraining says nothing, starts small, so that its noise does not drown the means.

    Parameters
    ----------
    encoder
        What is written: its last layers.
    means
        Latent means of rows by this encoder, shape ``(n_rows, n_latent)``.
    """
    means = means.to(encoder.mean.weight.device)
    centre = means.mean(dim=0)
    length = (means - centre).square().mean().sqrt().clamp_min(1e-6)
    encoder.mean.weight.div_(length)
    encoder.mean.bias.sub_(centre).div_(length)
    encoder.log_variance.weight.zero_()
    encoder.log_variance.bias.fill_(START_LOG_VARIANCE)


@torch.no_grad()
def start_classifier(
    classifier: Classifier, means: NDArray[np.float32], label: NDArray[np.int64]
) -> None:
    """Start the classifier at a logistic regression on the pretrained latents of labelled rows.

    A head that starts at random pulls the encoder away from what it has learnt before it can read
    it (Kumar et al., ICLR 2022).

    Parameters
    ----------
    classifier
        What is written.
    means
        Latent means, shape ``(n_rows, n_latent)``.
    label
        Class codes, shape ``(n_rows,)``; -1 where unlabelled.
    """
    known = label >= 0
    if not known.any():
        return
    weight = np.zeros(len(label))
    weight[known] = 1 / np.bincount(label[known])[label[known]]
    weight *= known.sum() / weight.sum()
    coef, intercept = logistic(
        means.astype(np.float64), label, weight, classifier.linear.out_features
    )
    classifier.linear.weight.copy_(torch.as_tensor(coef.T))
    classifier.linear.bias.copy_(torch.as_tensor(intercept))


def widths(weights: Mapping[str, torch.Tensor]) -> str:
    """Describe an encoder by the widths of its layers, genes left out."""
    matrices: Iterable[torch.Tensor] = (w for w in weights.values() if w.dim() == 2)
    return " - ".join(str(w.shape[0]) for w in matrices)
