"""Encoder, decoder, classifier and its losses: tensors in, tensors out, LayerNorm throughout."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

# Attribute of parameters that weight decay must leave alone.
NO_DECAY = "no_decay"
# Deviations below this are those of columns that are constant.
EPSILON = 1e-6


def hidden_layers(n_in: int, n_hidden: int, n_layers: int, dropout: float) -> nn.Sequential:
    """Stack ``n_layers`` blocks of Linear, LayerNorm, GELU and dropout."""
    blocks: list[nn.Module] = []
    for i in range(n_layers):
        width = n_in if i == 0 else n_hidden
        blocks += [
            nn.Linear(width, n_hidden),
            nn.LayerNorm(n_hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        ]
    return nn.Sequential(*blocks)


class GaussianEncoder(nn.Module):
    r"""Encode standardised expression as a diagonal Gaussian :math:`q(z \mid x)`.

    The first map is a linear projection that starts at the leading principal components of the
    training rows (:meth:`set_projection`), scaled so that the first component has unit standard
    deviation. It is the bias towards directions that many genes share which keeps small cohorts
    from being fitted gene by gene. The encoder never sees the domain, so it takes rows of any.

    Parameters
    ----------
    n_input
        Genes.
    n_latent
        Dimensions of ``z``.
    n_hidden, n_layers
        Width and number of hidden layers.
    dropout
        Dropout rate of the hidden layers.
    n_components
        Width of the projection.
    """

    def __init__(
        self,
        n_input: int,
        n_latent: int,
        n_hidden: int = 128,
        n_layers: int = 1,
        dropout: float = 0.1,
        n_components: int = 100,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(n_input, min(n_components, n_input))
        self.hidden = hidden_layers(self.projection.out_features, n_hidden, n_layers, dropout)
        self.mean = nn.Linear(n_hidden, n_latent)
        self.log_variance = nn.Linear(n_hidden, n_latent)

    @torch.no_grad()
    def set_projection(self, components: torch.Tensor, centre: torch.Tensor) -> None:
        """Start the projection at ``(k, n_input)`` components about ``(n_input,)`` ``centre``."""
        k = components.shape[0]
        self.projection.weight.zero_()
        self.projection.bias.zero_()
        self.projection.weight[:k] = components
        self.projection.bias[:k] = -(components @ centre)

    def forward(self, s: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of ``q(z | x)``, each ``(n_rows, n_latent)``."""
        h = self.hidden(self.projection(s))
        return self.mean(h), self.variance(h)

    def variance(self, h: torch.Tensor) -> torch.Tensor:
        """Return the variance of ``q(z | x)`` from the last hidden layer."""
        # The bounds keep exp() finite and the posterior away from a point mass.
        return torch.exp(self.log_variance(h).clamp(-8.0, 4.0))


class Decoder(nn.Module):
    """Decode latents and covariates to one score a gene.

    Parameters
    ----------
    n_latent
        Dimensions of ``z``.
    n_covariates
        Width of the covariates (one-hot domains and others) that are appended to ``z``.
    n_output
        Genes.
    n_hidden, n_layers
        Width and number of the hidden layers.
    """

    def __init__(
        self,
        n_latent: int,
        n_covariates: int,
        n_output: int,
        n_hidden: int = 128,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        self.n_hidden = n_hidden
        self.hidden = hidden_layers(n_latent + n_covariates, n_hidden, n_layers, 0.0)
        self.output = nn.Linear(n_hidden + n_covariates, n_output)

    def forward(
        self, z: torch.Tensor, covariates: torch.Tensor, genes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return scores of all genes, ``(n_rows, n_output)``, or of the ``genes`` named."""
        h = self.hidden(torch.cat([z, covariates], dim=1))
        joined = torch.cat([h, covariates], dim=1)
        if genes is None:
            return self.output(joined)
        return functional.linear(joined, self.output.weight[genes], self.output.bias[genes])


class Classifier(nn.Module):
    """Linear phenotype head on the latents.

    Parameters
    ----------
    n_latent
        Dimensions of ``z``.
    n_classes
        Classes.
    """

    def __init__(self, n_latent: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_latent, n_classes)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return logits of shape ``(n_rows, n_classes)``."""
        return self.linear(z)


def classification_loss(
    logits: torch.Tensor, label: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Mean cross-entropy of the labelled rows; 0 when the batch has none."""
    # Sums over all rows, since to pick the labelled ones would wait for the device.
    total = functional.cross_entropy(
        logits, label, ignore_index=-1, reduction="sum", label_smoothing=label_smoothing
    )
    return total / (label >= 0).sum().clamp_min(1)


def teaching_loss(
    logits: torch.Tensor, label: torch.Tensor, teacher: torch.Tensor | None
) -> torch.Tensor:
    """Mean cross-entropy of unlabelled rows to the linear members' probabilities."""
    if teacher is None:
        return logits.new_zeros(())
    unknown = label < 0
    cross_entropy = -(teacher * functional.log_softmax(logits, dim=1)).sum(dim=1)
    return (cross_entropy * unknown).sum() / unknown.sum().clamp_min(1)


def one_hot(codes: torch.Tensor, n: int) -> torch.Tensor:
    """One-hot rows; codes outside ``0..n-1`` (unlabelled rows, unseen domains) become zeros."""
    inside = (codes >= 0) & (codes < n)
    encoded = functional.one_hot(codes.clamp(0, n - 1), n)
    return encoded.float() * inside[:, None]


def standardise_columns(x: torch.Tensor, stratum: torch.Tensor | None = None) -> torch.Tensor:
    """Bring columns to mean 0, within strata, and standard deviation 1; constant ones become 0."""
    means = x.mean(dim=0)
    if stratum is not None:
        _, code = torch.unique(stratum, return_inverse=True)
        member = functional.one_hot(code).to(x.dtype)
        means = ((member.T @ x) / member.sum(dim=0)[:, None])[code]
    centred = x - means
    return centred / (centred.square().mean(dim=0) + EPSILON**2).sqrt().clamp_min(EPSILON)
