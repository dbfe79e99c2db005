"""The module of DomainVI: inference, generative model and loss, of one modality or several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch.distributions import Distribution, Normal
from torch.nn import functional

from domainvi._compat import MODULE_KEYS
from domainvi.data import MODALITIES, TEACHER_KEY
from domainvi.nn import (
    Classifier,
    class_log_softmax,
    classification_loss,
    one_hot,
    teaching_loss,
)

from ._alignment import DomainAlignment
from ._modalities import Modalities
from ._modality import Modality, ScalingStatistics, draw_latents, elbo_terms
from ._phenotype_heads import PhenotypeHeads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domainvi.data import Phenotype

    Statistics = Mapping[str, ScalingStatistics] | None

EXTRA_DOMAINS_KEY = "extra_domains"
# Name of the modality of a model that has one.
EXPRESSION = "expression"

Adversary = Literal["conditional", "marginal", "wasserstein", "none"]


class Embedding(NamedTuple):
    """The module's answer for rows.

    Parameters
    ----------
    mean, variance
        Moments of ``q(z | x)``, each ``(n_rows, n_latent)``.
    network, linear
        Log-probabilities of the network and of the linear members, each ``(n_rows, n_classes)``.
    reference
        Principal components of the un-adapted rows, those of several modalities side by side,
        ``(n_rows, 30 n_modalities)``.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    network: torch.Tensor
    linear: torch.Tensor
    reference: torch.Tensor


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
    the domain and the decoder does. The posterior and the likelihood of several modalities are
    written down in :class:`~domainvi.module.Modalities`.

    Rows are encoded in three ways that give the same answer: :meth:`inference` draws ``z`` for a
    training step, :meth:`embed_log` is differentiable in the log values, for explanations and new
    cohorts, and :class:`~domainvi.module.RowReader` reads many rows fast.

    Parameters
    ----------
    n_input
        Number of genes; of several modalities a dict by name.
    n_domains
        Levels of each domain column; the first is the main one.
    n_classes
        Classes of the main phenotype.
    n_cats_per_cov
        Levels of each categorical covariate.
    n_continuous_cov
        Number of continuous covariates.
    n_latent, n_hidden, n_layers, n_components, dropout_rate
        Sizes of encoder and decoder.
    likelihood
        ``"normal"``, ``"nb"``, ``"zinb"`` or ``"poisson"``; of several modalities a dict by name.
    adversary
        Kind of alignment.
    label_smoothing
        Label smoothing of the cross-entropy.
    phenotypes
        Auxiliary phenotypes (:class:`~domainvi.module.PhenotypeHeads`), whose loss is added to
        :math:`L`.
    """

    log_prior: torch.Tensor
    network_share: torch.Tensor

    def __init__(
        self,
        n_input: int | Mapping[str, int],
        n_domains: list[int],
        n_classes: int,
        n_cats_per_cov: list[int] | None = None,
        n_continuous_cov: int = 0,
        n_latent: int = 32,
        n_hidden: int = 128,
        n_layers: int = 1,
        n_components: int = 100,
        dropout_rate: float = 0.1,
        likelihood: str | Mapping[str, str] = "normal",
        adversary: Adversary = "conditional",
        label_smoothing: float = 0.05,
        phenotypes: Sequence[Phenotype] = (),
    ) -> None:
        super().__init__()
        genes = {EXPRESSION: n_input} if isinstance(n_input, int) else n_input
        kinds = dict.fromkeys(genes, likelihood) if isinstance(likelihood, str) else likelihood
        self.n_latent, self.n_domains, self.n_classes = n_latent, n_domains, n_classes
        self.n_cats_per_cov = n_cats_per_cov or []
        self.label_smoothing = label_smoothing
        width = sum(n_domains) + sum(self.n_cats_per_cov) + n_continuous_cov
        sizes = {
            "n_latent": n_latent,
            "n_hidden": n_hidden,
            "n_layers": n_layers,
            "n_components": n_components,
        }
        self.modalities = Modalities(
            {
                name: Modality(
                    n, n_domains[0], n_classes, width, dropout_rate, kinds[name], **sizes
                )
                for name, n in genes.items()
            }
        )
        self.n_input = self.modalities.n_input
        self.classifier = Classifier(n_latent, n_classes)
        self.alignment = DomainAlignment(adversary, n_latent, n_domains, n_classes)
        # Added to the scores of a domain's rows for its class proportions.
        self.register_buffer("log_prior", torch.zeros(n_domains[0], n_classes))
        # Share of the network in the predictions; the linear members have the rest.
        self.register_buffer("network_share", torch.ones(()))
        # Last, so that the other weights start as they would without phenotypes.
        self.phenotypes = (
            PhenotypeHeads(phenotypes, n_latent, n_domains[0], self.n_input) if phenotypes else None
        )

    def share_vote(self) -> None:
        """Give the network half of the vote where there are linear members, all of it otherwise."""
        self.network_share.fill_(0.5 if self.modalities.n_members else 1.0)

    def _get_inference_input(self, tensors: dict[str, torch.Tensor]) -> dict:
        return {
            "x": tensors[REGISTRY_KEYS.X_KEY],
            "batch_index": tensors[REGISTRY_KEYS.BATCH_KEY],
            "size_factor": tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY),
            "present": tensors.get(MODALITIES),
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
            "present": tensors.get(MODALITIES),
        }

    def log_values(
        self, x: torch.Tensor, size_factor: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log values of rows, ``(n_rows, n_input)``, and their library sizes by modality."""
        return self.modalities.log_values(x, size_factor)

    @auto_move_data
    def inference(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
        n_samples: int = 1,
    ) -> dict[str, Distribution | torch.Tensor]:
        """Encode rows and draw their latents."""
        u, library = self.modalities.log_values(x, size_factor)
        domain = batch_index.squeeze(-1).long()
        mean, variance = self.modalities.encode(u, domain, self.modalities.seen(present))
        return draw_latents(mean, variance, n_samples) | {"library": library}

    @auto_move_data
    def embed(
        self,
        x: torch.Tensor,
        batch_index: torch.Tensor,
        size_factor: torch.Tensor | None = None,
        present: torch.Tensor | None = None,
        statistics: Statistics = None,
    ) -> Embedding:
        """Encode and classify rows without drawing ``z``."""
        u, _ = self.modalities.log_values(x, size_factor)
        domain = batch_index.squeeze(-1).long()
        return self.embed_log(u, domain, statistics, self.modalities.seen(present))

    def embed_log(
        self,
        u: torch.Tensor,
        domain: torch.Tensor,
        statistics: Statistics = None,
        seen: torch.Tensor | None = None,
    ) -> Embedding:
        """Encode and classify rows by their log values.

        Parameters
        ----------
        u
            Log values, ``(n_rows, n_input)``.
        domain
            Codes of the main domain column, ``(n_rows,)``.
        statistics
            Scaling by modality in place of the stored one, for cohorts unseen in training.
        seen
            Modalities of each row that the encoder may look at; ``None`` where there is only one.
        """
        out = self.modalities.embed(u, domain, statistics or {}, seen)
        network = functional.log_softmax(self.classifier(out.mean), dim=1)
        linear = network if out.linear is None else out.linear
        if out.has_linear is not None:
            linear = torch.where(out.has_linear, linear, network)
        return Embedding(out.mean, out.variance, network, linear, out.reference)

    def ensemble(
        self, network: torch.Tensor, linear: torch.Tensor, domain: torch.Tensor
    ) -> torch.Tensor:
        """Average network and linear members and correct for the class proportions of the domain.

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
        return class_log_softmax(torch.log(p.clamp_min(1e-12)) + prior)

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
        present: torch.Tensor | None = None,
        genes: torch.Tensor | None = None,
    ) -> dict[str, Distribution]:
        """Decode latents to the distribution of the values, of all genes or of those numbered."""
        covariates = self.covariates(batch_index, extra_domains, cat_covs, cont_covs)
        domain = batch_index.squeeze(-1).long()
        px = self.modalities.decode(z, library, domain, covariates, present, genes)
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

    def class_codes(self, mean: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        """Class codes of the rows; that of an unlabelled row is predicted.

        It is that of the linear members, if they teach, or of the network.
        """
        label = self.labels(tensors)
        scores = tensors.get(TEACHER_KEY)
        if scores is None:
            scores = self.classifier(mean)
        return torch.where(label >= 0, label, scores.argmax(dim=1))

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
        label = self.labels(tensors)
        z = inference_outputs[MODULE_KEYS.Z_KEY]
        reconstruction, kl = elbo_terms(
            x if genes is None else x[:, genes],
            inference_outputs[MODULE_KEYS.QZ_KEY],
            generative_outputs[MODULE_KEYS.PZ_KEY],
            generative_outputs[MODULE_KEYS.PX_KEY],
            self.n_input,
        )
        logits = self.classifier(z)
        classification = classification_loss(logits, label, self.label_smoothing)
        teaching = teaching_loss(logits, label, tensors.get(TEACHER_KEY))
        mean = inference_outputs[MODULE_KEYS.QZ_KEY].loc
        code = self.class_codes(mean.detach(), tensors)
        alignment, metrics = self.alignment(mean, code, self.domains(tensors), adversary_weight)
        elbo = (reconstruction + kl_weight * kl).mean() / self.n_input
        loss = (
            classification + reconstruction_weight * elbo + alignment + teaching_weight * teaching
        )
        if self.phenotypes is not None:
            phenotype_loss, phenotype_terms = self.phenotypes.loss(z, tensors)
            loss, metrics = loss + phenotype_loss, {**metrics, **phenotype_terms}
        terms = {"classification_loss": classification, "teaching_loss": teaching, **metrics}
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
