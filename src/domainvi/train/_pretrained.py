"""Encoder weights that move from one model to another, genes by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domainvi.data import GeneAlignment
    from domainvi.nn import GaussianEncoder

PROJECTION = "projection.weight"


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
def standardise_latents(encoder: GaussianEncoder, means: torch.Tensor) -> None:
    """Bring the latent means to mean 0 and, together, variance 1; their directions stay.

    What pretraining compares does not depend on where the latents lie and how long they are; the
    prior and the classifier of :meth:`domainvi.DomainVI.train` do.

    Parameters
    ----------
    encoder
        What is written: its last layer.
    means
        Latent means of rows by this encoder, shape ``(n_rows, n_latent)``.
    """
    centre = means.mean(dim=0)
    length = (means - centre).square().mean().sqrt().clamp_min(1e-6)
    encoder.mean.weight.div_(length)
    encoder.mean.bias.sub_(centre).div_(length)


def widths(weights: Mapping[str, torch.Tensor]) -> str:
    """Describe an encoder by the widths of its layers, genes left out."""
    matrices: Iterable[torch.Tensor] = (w for w in weights.values() if w.dim() == 2)
    return " - ".join(str(w.shape[0]) for w in matrices)
