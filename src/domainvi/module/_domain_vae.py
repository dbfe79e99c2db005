"""The module of DomainVI: inference, generative model and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch.distributions import Distribution, Normal, kl_divergence
from torch.nn import functional

from domainvi._compat import MODULE_KEYS
from domainvi.data import TEACHER_KEY
from domainvi.nn import (
    Classifier,
    Decoder,
    GaussianEncoder,
    LinearEnsemble,
    Standardiser,
    log_normalise,
    one_hot,
)

from ._alignment import DomainAlignment
from ._likelihood import Likelihood, build_likelihood

N_REFERENCE = 30
EXTRA_DOMAINS_KEY = "extra_domains"
Table = tuple[torch.Tensor, torch.Tensor]


class Embedding(NamedTuple):
    """What the module says of rows.

    Parameters
    ----------
    mean, variance
        Of ``q(z | x)``, each ``(n_rows, n_latent)``.
    network, linear
        Log-probabilities of the network and of the linear members, each ``(n_rows, n_classes)``.
    reference
        Principal components of the rows by the twin's z-scores, un-adapted, ``(n_rows, 30)``.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    network: torch.Tensor
    linear: torch.Tensor
    reference: torch.Tensor


@dataclass(frozen=True)
class ScalingTables:
    """Centre and scale by domain for rows that the stored tables do not serve.

    Parameters
    ----------
    network
        Of the network, each ``(n_domains, n_input)``.
    linear
        Of the linear members, each ``(n_members, n_domains, n_input)``.
    """

    network: Table
    linear: Table


Adversary = Literal["conditional", "marginal", "wasserstein", "none"]


class DomainVAE(BaseModuleClass):
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
    """

    network_share: torch.Tensor
    class_mix: torch.Tensor
    target_sum: torch.Tensor
    size_factor_scale: torch.Tensor
    reference_basis: torch.Tensor
    reference_origin: torch.Tensor
    log_prior: torch.Tensor

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
        # Share of the network in the predictions.
        self.register_buffer("log_prior", torch.zeros(n_domains[0], n_classes))
        self.register_buffer("network_share", torch.ones(()))
        # Library size that counts are brought to: the median of the training rows.
        self.register_buffer("target_sum", torch.tensor(1e4))
        self.register_buffer("size_factor_scale", torch.ones(()))
        self.register_buffer("class_mix", torch.full((n_classes,), 1.0 / n_classes))
        self.set_linear_members(0)
        # Principal components of the un-adapted rows, a space in which no unknown was aligned.
        n_reference = min(N_REFERENCE, n_input)
        self.register_buffer("reference_basis", torch.zeros(n_input, n_reference))
        self.register_buffer("reference_origin", torch.zeros(n_reference))
        self.alignment = DomainAlignment(adversary, n_latent, n_domains, n_classes)

    def set_linear_members(self, n_members: int) -> None:
        """Make room for this many linear members; they start without a say."""
        size = (self.n_domains[0], self.n_input, self.n_classes)
        self.linear = LinearEnsemble(n_members, *size).to(self.network_share.device)
        self.network_share.fill_(0.5 if n_members else 1.0)

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

    def log_values(self, x: torch.Tensor, library: torch.Tensor) -> torch.Tensor:
        """Bring rows to the log scale on which the input scaling works."""
        return log_normalise(x, library, self.target_sum) if self.counts else x

    def library_size(self, x: torch.Tensor, size_factor: torch.Tensor | None) -> torch.Tensor:
        """Library size of each row, ``(n_rows, 1)``: its sum, or its size factor in that unit."""
        if size_factor is None:
            return x.sum(dim=1, keepdim=True)
        return size_factor * self.size_factor_scale

    @auto_move_data
    def inference(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        tables: tuple[torch.Tensor, torch.Tensor] | None = None,
        n_samples: int = 1,
    ) -> dict[str, Distribution | torch.Tensor]:
        """Encode rows; ``tables`` replaces the stored scaling for cohorts unseen in training."""
        library = self.library_size(x, size_factor)
        domain = batch_index.squeeze(-1).long()
        s = self.standardiser(self.log_values(x, library), domain, tables)
        mean, variance = self.z_encoder(s)
        # What is not finite is reported by the training plan, with the term that broke.
        qz = Normal(mean, variance.sqrt(), validate_args=False)
        z = qz.rsample() if n_samples == 1 else qz.rsample((n_samples,))
        return {MODULE_KEYS.QZ_KEY: qz, MODULE_KEYS.Z_KEY: z, "library": library}

    @auto_move_data
    def embed(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        tables: ScalingTables | None = None,
    ) -> Embedding:
        """Encode and classify rows without drawing ``z``."""
        domain = batch_index.squeeze(-1).long()
        u = self.log_values(x, self.library_size(x, size_factor))
        return self.embed_log(u, domain, tables)

    def embed_log(
        self, u: torch.Tensor, domain: torch.Tensor, tables: ScalingTables | None = None
    ) -> Embedding:
        """Do the work of :meth:`embed` for log values ``u`` and domain codes ``(n_rows,)``."""
        own, members = (None, None) if tables is None else (tables.network, tables.linear)
        mean, variance = self.z_encoder(self.standardiser(u, domain, own))
        network = functional.log_softmax(self.classifier(mean), dim=1)
        linear, tables_of_twin = network, own
        if self.linear.n_members:
            linear = self.linear(u, domain, members)
            centre, scale = (self.linear.centre, self.linear.scale) if members is None else members
            tables_of_twin = (centre[-1], scale[-1])
        unadapted = self.standardiser(u, domain, tables_of_twin)
        reference = unadapted @ self.reference_basis - self.reference_origin
        return Embedding(mean, variance, network, linear, reference)

    def ensemble(
        self, network: torch.Tensor, linear: torch.Tensor, domain: torch.Tensor
    ) -> torch.Tensor:
        """Average network and linear members and correct for the class mix of the domain.

        Parameters
        ----------
        network, linear
            Log-probabilities, shape ``(n_rows, n_classes)``.
        domain
            Domain codes, shape ``(n_rows,)``; domains unseen in training are not corrected.
        """
        known = domain < len(self.log_prior)
        prior = self.log_prior[torch.where(known, domain, 0)] * known[:, None]
        share = self.network_share
        p = (1 - share) * torch.exp(linear) + share * torch.exp(network)
        return functional.log_softmax(torch.log(p.clamp_min(1e-12)) + prior, dim=1)

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
        known = label >= 0
        if not known.any():
            return logits.new_zeros(())
        return functional.cross_entropy(
            logits[known], label[known], label_smoothing=self.label_smoothing
        )

    def teaching_loss(
        self, logits: torch.Tensor, label: torch.Tensor, teacher: torch.Tensor | None
    ) -> torch.Tensor:
        """Mean cross-entropy of unlabelled rows to the linear members' probabilities."""
        unknown = label < 0
        if teacher is None or not unknown.any():
            return logits.new_zeros(())
        log_p = functional.log_softmax(logits[unknown], dim=1)
        return -(teacher[unknown] * log_p).sum(dim=1).mean()

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
        kl = kl_divergence(
            inference_outputs[MODULE_KEYS.QZ_KEY], generative_outputs[MODULE_KEYS.PZ_KEY]
        ).sum(dim=-1)
        reconstruction = -generative_outputs[MODULE_KEYS.PX_KEY].log_prob(x).sum(dim=-1)
        reconstruction = reconstruction * (self.n_input / x.shape[1])
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
