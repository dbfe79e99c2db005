"""An encoder taken from a saved model, genes by name, and the layers around it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from domainvi._compat import FIELD_REGISTRIES_KEY, STATE_REGISTRY_KEY
from domainvi.data import align_genes
from domainvi.errors import InputError, ModelFileError
from domainvi.io import read_model
from domainvi.linear import logistic

from ._settings import PretrainingRecord

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from domainvi.data import GeneAlignment
    from domainvi.nn import Classifier, GaussianEncoder

    from ._pretrain import Pretrainable

PROJECTION = "projection.weight"
START_LOG_VARIANCE = -4.0
# Names of an encoder's tensors in a file begin so.
ENCODER_PREFIX = "module.modalities.stack.0.z_encoder."
# With fewer shared genes than this, of the shorter list, a pretrained encoder is in doubt.
MIN_OVERLAP = 0.5


def start_from(model: Pretrainable, dir_path: str | os.PathLike[str]) -> None:
    """Take the encoder of a saved model, genes by name, and remember where it came from."""
    model._refuse_several("pretrain_from")
    tensors, metadata = read_model(dir_path)
    weights = {
        name.removeprefix(ENCODER_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(ENCODER_PREFIX)
    }
    if not weights:
        msg = f"pretrain_from={str(dir_path)!r} holds a model without an encoder to start from."
        raise ModelFileError(msg)
    try:
        fields = metadata["registry"][FIELD_REGISTRIES_KEY]
        names = list(fields[REGISTRY_KEYS.X_KEY][STATE_REGISTRY_KEY]["column_names"])
        record = metadata["fitted"]["pretraining"]
        source = None if record is None else PretrainingRecord.from_dict(record)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        msg = f"pretrain_from={str(dir_path)!r} has a description that does not fit: {error!r:.200}"
        raise ModelFileError(msg) from error
    alignment = align_genes(names, model.genes, min_overlap=0.0)
    if alignment.n_matched < MIN_OVERLAP * min(len(names), len(model.genes)):
        warnings.warn(
            f"pretrain_from shares {alignment.n_matched} genes with adata, of its "
            f"{len(names)} and of {len(model.genes)} here; the other genes start without "
            "weight. Check that both use the same identifiers.",
            UserWarning,
            stacklevel=3,
        )
    encoder = model.module.modalities.only.z_encoder
    adopt_encoder(encoder, weights, alignment)
    model.fitted.pretraining = PretrainingRecord(source=source, n_genes_matched=alignment.n_matched)


@torch.no_grad()
def adopt_encoder(
    encoder: GaussianEncoder, weights: Mapping[str, torch.Tensor], genes: GeneAlignment
) -> None:
    """Copy weights into an encoder of the same sizes on other genes, aligned by ``genes``.

    Genes that the weights do not know enter with weight 0 and may learn. The weights of shared
    genes are kept as they are: inputs are standardised, so that an absent gene stands at its mean.
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
    """Bring latent means ``(n_rows, n_latent)`` to mean 0 and, together, variance 1.

    What pretraining compares depends neither on where the latents lie nor on their length; the
    prior and the classifier of :meth:`domainvi.DomainVI.train` do. The posterior's variance, of
    which pretraining says nothing, starts small, so that its noise does not drown the means.
    """
    means = means.to(encoder.mean.weight.device)
    centre = means.mean(dim=0)
    length = (means - centre).square().mean().sqrt().clamp_min(1e-6)
    encoder.mean.weight.div_(length)
    encoder.mean.bias.sub_(centre).div_(length)
    encoder.log_variance.weight.zero_()
    encoder.log_variance.bias.fill_(START_LOG_VARIANCE)


@torch.no_grad()
def fit_classifier(
    classifier: Classifier, means: NDArray[np.float32], label: NDArray[np.int64]
) -> None:
    """Fit the classifier to latents, labels -1 left out, as a logistic regression.

    A head that starts at random pulls the encoder away from what it has learnt before it can read
    it (Kumar et al., ICLR 2022).
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
