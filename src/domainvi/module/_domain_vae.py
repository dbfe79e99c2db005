"""The module of DomainVI: inference, generative model and loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import LossOutput, auto_move_data
from torch.distributions import Distribution, Normal
from torch.nn import functional

from domainvi._compat import MODULE_KEYS
from domainvi.data import TEACHER_KEY
from domainvi.nn import (
    Classifier,
    Decoder,
    GaussianEncoder,
    Standardiser,
    one_hot,
)

from ._alignment import DomainAlignment
from ._ensemble import EnsembleModule, Table
from ._likelihood import Likelihood, build_likelihood
from ._target_heads import TargetHeads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domainvi.data import Phenotype

EXTRA_DOMAINS_KEY = "extra_domains"


Adversary = Literal["conditional", "marginal", "wasserstein", "none"]


class DomainVAE(EnsembleModule):
    r"""Variational autoencoder with a phenotype head and a domain adversary on its latents.

    For a row :math:`x` of domain :math:`d` with class :math:`y` (missing for unlabelled rows),

    .. math:: z \sim q(z \mid s(x)), \quad x \sim p(x \mid z, d), \quad y \sim p(y \mid z),

    with :math:`s` the model's input scaling. Training minimises

    .. math:: L = L_\mathrm{class} + \alpha \frac{-\mathrm{ELBO}}{G}
                  + L_\mathrm{align}(\lambda) + \tau L_\mathrm{teach},

    where :math:`L_\mathrm{class}` is the cross-entropy of labelled rows with label smoothing,
    the ELBO is :math:`E_q \log p(x \mid z, d) - KL(q(z \mid x) \Vert N(0, I))` summed over
    :math:`G` genes, :math:`L_\mathrm{align}` is the adversary
    (:class:`~domainvi.module.DomainAlignment`) and :math:`L_\mathrm{teach}` is the cross-entropy of
    unlabelled rows to the probabilities of the linear members. The encoder does not see
    the domain and the decoder does.

    Parameters
    ----------
    n_input
        Genes.
    n_domains
        Levels of each domain column; the first is the main one.
    n_classes
        Classes of the main phenotype.
    n_cats_per_cov
        Levels of each categorical covariate.
    n_continuous_cov
        Continuous covariates.
    n_latent, n_hidden, n_layers, n_components, dropout_rate
        Sizes of encoder and decoder.
    likelihood
        ``"normal"``, ``"nb"``, ``"zinb"`` or ``"poisson"``.
    adversary
        Kind of alignment.
    label_smoothing
        Of the cross-entropy.
    targets
        Further phenotypes (:class:`~domainvi.module.TargetHeads`), whose loss is added to
        :math:`L`.
    """

    def __init__(
        self,
        n_input: int,
        n_domains: list[int],
        n_classes: int,
        n_cats_per_cov: list[int] | None = None,
        n_continuous_cov: int = 0,
        n_latent: int = 32,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_components: int = 100,
        dropout_rate: float = 0.1,
        likelihood: str = "normal",
        adversary: Adversary = "conditional",
        label_smoothing: float = 0.05,
        targets: Sequence[Phenotype] = (),
    ) -> None:
        super().__init__()
        self.n_input = n_input
        self.n_latent = n_latent
        self.n_domains = n_domains
        self.n_classes = n_classes
        self.n_cats_per_cov = n_cats_per_cov or []
        self.n_continuous_cov = n_continuous_cov
        self.label_smoothing = label_smoothing
        self.counts = likelihood != "normal"
        n_covariates = sum(n_domains) + sum(self.n_cats_per_cov) + n_continuous_cov
        self.standardiser = Standardiser(n_domains[0], n_input)
        self.z_encoder = GaussianEncoder(
            n_input, n_latent, n_hidden, n_layers, dropout_rate, n_components
        )
        self.decoder = Decoder(n_latent, n_covariates, n_input, n_hidden, n_layers)
        self.likelihood: Likelihood = build_likelihood(likelihood, n_domains[0], n_input)
        self.classifier = Classifier(n_latent, n_classes)
        self.add_ensemble()
        self.alignment = DomainAlignment(adversary, n_latent, n_domains, n_classes)
        # Last, so that the other weights start as they would without targets.
        self.targets = TargetHeads(targets, n_latent, n_domains[0], n_input) if targets else None

    def _get_inference_input(self, tensors: dict[str, torch.Tensor]) -> dict:
        return {
            "x": tensors[REGISTRY_KEYS.X_KEY],
            "batch_index": tensors[REGISTRY_KEYS.BATCH_KEY],
            "size_factor": tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY),
        }

    def _get_generative_input(
        self, tensors: dict[str, torch.Tensor], inference_outputs: dict
    ) -> dict:
        return {
            "z": inference_outputs["z"],
            "library": inference_outputs["library"],
            "batch_index": tensors[REGISTRY_KEYS.BATCH_KEY],
            "extra_domains": tensors.get(EXTRA_DOMAINS_KEY),
            "cat_covs": tensors.get(REGISTRY_KEYS.CAT_COVS_KEY),
            "cont_covs": tensors.get(REGISTRY_KEYS.CONT_COVS_KEY),
        }

    @auto_move_data
    def inference(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        tables: Table | None = None,
        n_samples: int = 1,
    ) -> dict[str, Distribution | torch.Tensor]:
        """Encode rows; ``tables`` replaces the stored scaling for cohorts unseen in training."""
        library = self.library_size(x, size_factor)
        domain = batch_index.squeeze(-1).long()
        s = self.standardiser(self.log_values(x, library), domain, tables)
        mean, variance = self.z_encoder(s)
        return self.draw(mean, variance, n_samples) | {"library": library}

    def covariates(
        self,
        batch_index: torch.Tensor,
        extra_domains: torch.Tensor | None = None,
        cat_covs: torch.Tensor | None = None,
        cont_covs: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Join domains and covariates as the decoder takes them."""
        codes = [batch_index]
        sizes = [*self.n_domains, *self.n_cats_per_cov]
        for columns in (extra_domains, cat_covs):
            if columns is not None:
                codes += torch.split(columns, 1, dim=1)
        parts = [one_hot(c.squeeze(-1).long(), n) for c, n in zip(codes, sizes, strict=True)]
        if cont_covs is not None:
            parts.append(cont_covs.float())
        return torch.cat(parts, dim=1)

    @auto_move_data
    def generative(
        self,
        z: torch.Tensor,
        library: torch.Tensor,
        batch_index: torch.Tensor,
        extra_domains: torch.Tensor | None = None,
        cat_covs: torch.Tensor | None = None,
        cont_covs: torch.Tensor | None = None,
        genes: torch.Tensor | None = None,
    ) -> dict[str, Distribution]:
        """Decode latents to the distribution of the expression values, of all genes or some."""
        covariates = self.covariates(batch_index, extra_domains, cat_covs, cont_covs)
        if z.dim() == 3:
            n_samples, n_rows, _ = z.shape
            scores = self.decoder(z.flatten(0, 1), covariates.repeat(n_samples, 1), genes)
            scores = scores.view(n_samples, n_rows, -1)
        else:
            scores = self.decoder(z, covariates, genes)
        domain = batch_index.squeeze(-1).long()
        px = self.likelihood(scores, library, domain, self.standardiser, genes)
        prior = Normal(torch.zeros_like(z), torch.ones_like(z))
        return {MODULE_KEYS.PX_KEY: px, MODULE_KEYS.PZ_KEY: prior}

    def labels(self, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        """Class codes of the rows, -1 where unlabelled."""
        codes = tensors[REGISTRY_KEYS.LABELS_KEY].squeeze(-1).long()
        return torch.where(codes < self.n_classes, codes, -1)

    def domains(self, tensors: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        """Domain codes of the rows, one tensor a domain column."""
        codes = [tensors[REGISTRY_KEYS.BATCH_KEY]]
        if EXTRA_DOMAINS_KEY in tensors:
            codes += torch.split(tensors[EXTRA_DOMAINS_KEY], 1, dim=1)
        return [c.squeeze(-1).long() for c in codes]

    def classification_loss(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of the labelled rows; 0 when the batch has none."""
        # Sums over all rows, since to pick the labelled ones would wait for the device.
        total = functional.cross_entropy(
            logits,
            label,
            ignore_index=-1,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        return total / (label >= 0).sum().clamp_min(1)

    def teaching_loss(
        self, logits: torch.Tensor, label: torch.Tensor, teacher: torch.Tensor | None
    ) -> torch.Tensor:
        """Mean cross-entropy of unlabelled rows to the linear members' probabilities."""
        if teacher is None:
            return logits.new_zeros(())
        unknown = label < 0
        cross_entropy = -(teacher * functional.log_softmax(logits, dim=1)).sum(dim=1)
        return (cross_entropy * unknown).sum() / unknown.sum().clamp_min(1)

    def loss(
        self,
        tensors: dict[str, torch.Tensor],
        inference_outputs: dict,
        generative_outputs: dict,
        reconstruction_weight: float = 10.0,
        adversary_weight: float = 0.0,
        teaching_weight: float = 0.0,
        kl_weight: float = 1.0,
        genes: torch.Tensor | None = None,
    ) -> LossOutput:
        """Combine the terms of the class docstring; the weights are those of this step.

        With ``genes`` (the same that the generative part got) the reconstruction is estimated from
        those alone, times the number of genes over theirs: unbiased when they are drawn at random.
        """
        x = tensors[REGISTRY_KEYS.X_KEY]
        x = x if genes is None else x[:, genes]
        label = self.labels(tensors)
        z = inference_outputs[MODULE_KEYS.Z_KEY]
        reconstruction, kl = self.elbo_terms(
            x, inference_outputs[MODULE_KEYS.QZ_KEY], generative_outputs
        )
        logits = self.classifier(z)
        classification = self.classification_loss(logits, label)
        teaching = self.teaching_loss(logits, label, tensors.get(TEACHER_KEY))
        alignment, metrics = self.alignment(
            z, logits.detach(), label, self.domains(tensors), adversary_weight
        )
        elbo = (reconstruction + kl_weight * kl).mean() / self.n_input
        loss = (
            classification + reconstruction_weight * elbo + alignment + teaching_weight * teaching
        )
        if self.targets is not None:
            target_loss, target_terms = self.targets.loss(z, tensors)
            loss, metrics = loss + target_loss, {**metrics, **target_terms}
        terms = {
            "classification_loss": classification,
            "teaching_loss": teaching,
            **metrics,
        }
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction,
            kl_local=kl,
            extra_metrics={k: v.detach() for k, v in terms.items()},
        )

    @torch.inference_mode()
    def sample(self, tensors: dict[str, torch.Tensor], n_samples: int = 1) -> torch.Tensor:
        """Draw expression values from the posterior predictive distribution."""
        _, generative = self.forward(
            tensors, inference_kwargs={"n_samples": n_samples}, compute_loss=False
        )
        return generative[MODULE_KEYS.PX_KEY].sample().cpu()
