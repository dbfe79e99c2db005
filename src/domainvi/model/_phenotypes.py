"""Heads: those of auxiliary phenotypes, from training to prediction, and what can be explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.errors import InputError
from domainvi.explain import LATENTS, Head
from domainvi.linear import fit_class_phenotype, fit_numeric_phenotype, leading_genes, subsample
from domainvi.module import PhenotypeScores, heads_of, phenotype_scores
from domainvi.train import log_rows

from ._inference import forward, scaling_statistics
from ._posthoc import MIN_ROWS, fit_calibration, fit_unknown, posthoc_rows
from ._setup import refuse_several

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import Phenotype, PreparedAnnData
    from domainvi.linear import LinearPhenotype, TrainingRows

    from ._domainvi import DomainVI
    from ._inference import RowOutputs

# Genes that linear members of auxiliary phenotypes read: more than those of the main phenotype,
# since some are told by a few genes that vary little.
MAX_GENES = 5000
BLOCK_ROWS = 512


def phenotype_values(prepared: PreparedAnnData, phenotype: Phenotype) -> NDArray:
    """Values of all rows: numbers with NaN, or class codes with -1 where there is none."""
    if phenotype.is_numeric:
        return np.array(prepared.manager.get_from_registry(phenotype.field), np.float64).ravel()
    code = prepared.codes(phenotype.field)
    return np.where(code < phenotype.n_outputs, code, -1)


@torch.no_grad()
def fit_phenotypes(model: DomainVI, prepared: PreparedAnnData, rows: TrainingRows) -> None:
    """Fit the linear members, each on rows with a value, and on genes that vary in ``rows``.

    These are freed before, where the caller does not keep them.
    """
    genes, n_domains = leading_genes(rows, MAX_GENES), rows.n_domains
    del rows
    domain, order = prepared.domain, prepared.order
    for i, phenotype in enumerate(model.phenotypes):
        values = phenotype_values(prepared, phenotype)
        known = np.isfinite(values) if phenotype.is_numeric else values >= 0
        own = order[known[order]]
        # The rows that the other members were fitted on may have few of the values, or none.
        stratum = np.zeros(len(own), np.int64) if phenotype.is_numeric else values[own]
        own = own[subsample(domain[own], stratum, model.seed)]
        s = standardised_rows(model, prepared, own, genes)
        part = (s, domain[own], values[own], n_domains)
        member = (
            fit_numeric_phenotype(*part, model.seed)
            if phenotype.is_numeric
            else fit_class_phenotype(*part, phenotype.n_outputs, model.seed)
        )
        set_member(model, i, member, genes)


def standardised_rows(
    model: DomainVI, prepared: PreparedAnnData, rows: NDArray[np.int64], genes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Read some genes of rows, standardised by domain; few rows at a time with all genes."""
    modality = model.module.modalities.only
    domain = torch.from_numpy(prepared.domain[rows])
    s = np.empty((len(rows), len(genes)), dtype=np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        some = slice(start, start + BLOCK_ROWS)
        u = torch.from_numpy(log_rows(modality, prepared, rows[some])).to(modality.device)
        block = modality.standardised_by_domain(u, domain[some].to(modality.device))
        s[some] = block.cpu().numpy()[:, genes]
    return s


def set_member(model: DomainVI, i: int, member: LinearPhenotype, genes: NDArray[np.int64]) -> None:
    """Copy a linear member, on some genes, into the heads."""
    heads = heads_of(model.module)
    block = heads.block(i)
    heads.coef[torch.from_numpy(genes), block] = torch.as_tensor(member.coef).to(heads.coef)
    for name in ("intercept", "offset", "class_weight"):
        values = getattr(heads, name)
        values[..., block] = torch.as_tensor(getattr(member, name)).to(values)
    heads.is_known[:, i] = torch.from_numpy(member.is_known)
    for name in ("location", "scale", "widening"):
        getattr(heads, name)[i] = getattr(member, name)
    # Until held-out rows have spoken, the network is taken to be as good as the member.
    heads.temperature[i], heads.spread[i] = member.temperature, member.spread


@torch.no_grad()
def fit_phenotypes_posthoc(model: DomainVI, prepared: PreparedAnnData) -> None:
    """Calibrate the heads on held-out rows, and fit an unknown score for each class phenotype."""
    model.fitted.phenotype_unknown = {}
    heads, rows = heads_of(model.module), posthoc_rows(model, prepared)
    out, domain = forward(model, prepared, rows), prepared.domain[rows]
    held_out = np.isin(rows, model.validation_indices)
    for i, phenotype in enumerate(model.phenotypes):
        values, block = phenotype_values(prepared, phenotype)[rows], heads.block(i)
        network = out.phenotype_network[:, block]
        if phenotype.is_numeric:
            set_spread(model, i, network[:, 0], values, domain, held_out)
            continue
        heads.temperature[i, 0] = fit_calibration(network, values, held_out).temperature
        scorer = fit_unknown(out.reference, values, domain, model.seed)
        if scorer is not None:
            model.fitted.phenotype_unknown[phenotype.key] = scorer


def set_spread(
    model: DomainVI,
    i: int,
    network: NDArray[np.float32],
    values: NDArray[np.float64],
    domain: NDArray[np.int64],
    held_out: NDArray[np.bool_],
) -> None:
    """Set the error of a numeric head to that on held-out rows."""
    heads = heads_of(model.module)
    used = held_out & np.isfinite(values)
    if used.sum() < MIN_ROWS:
        return
    device = heads.offset.device
    v = heads.standardised(
        i, torch.from_numpy(values).to(device), torch.from_numpy(domain).to(device)
    )
    error = (v.cpu().numpy() - network)[used]
    heads.spread[i, 0] = float(np.sqrt(np.mean(np.square(error))))


def _scores(model: DomainVI, out: RowOutputs) -> PhenotypeScores:
    arrays = (out.phenotype_network, out.phenotype_linear)
    device = heads_of(model.module).offset.device
    return PhenotypeScores(*(torch.from_numpy(a).to(device) for a in arrays))


@torch.inference_mode()
def phenotype_probabilities(
    model: DomainVI, i: int, out: RowOutputs, domain: NDArray[np.int64], *, calibrated: bool = True
) -> NDArray[np.float64]:
    """Class probabilities of phenotype ``i`` in the order of the codes."""
    heads, scores = heads_of(model.module), _scores(model, out)
    rows = torch.from_numpy(domain).to(heads.offset.device)
    log_p = heads.log_probabilities(i, scores, rows, calibrated=calibrated)
    p = np.exp(log_p.cpu().numpy().astype(np.float64))
    return p / p.sum(axis=1, keepdims=True)


@torch.inference_mode()
def phenotype_numbers(
    model: DomainVI, i: int, out: RowOutputs, domain: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values of phenotype ``i`` and their standard errors."""
    heads, scores = heads_of(model.module), _scores(model, out)
    rows = torch.from_numpy(domain).to(heads.offset.device)
    value, error = heads.values(i, scores, rows)
    return value.cpu().numpy(), error.cpu().numpy()


def predict_phenotype(
    model: DomainVI,
    key: str,
    out: RowOutputs,
    domain: NDArray[np.int64],
    index: pd.Index,
    *,
    soft: bool,
    calibrated: bool,
) -> NDArray[np.str_] | NDArray[np.float32] | pd.DataFrame:
    """Predict an auxiliary phenotype; see :meth:`domainvi.DomainVI.predict`."""
    i = heads_of(model.module).index(key)
    phenotype = model.phenotypes[i]
    if phenotype.is_numeric:
        value, error = phenotype_numbers(model, i, out, domain)
        if not soft:
            return value
        return pd.DataFrame({"value": value, "standard_error": error}, index=index)
    p = phenotype_probabilities(model, i, out, domain, calibrated=calibrated)
    if not soft:
        return np.asarray(phenotype.classes)[p.argmax(axis=1)]
    frame = pd.DataFrame(p, index=index, columns=list(phenotype.classes))
    return frame[model.fitted.phenotype_order[key].classes]


def head_of(model: DomainVI, prepared: PreparedAnnData, target: str | None) -> Head:
    """Return the main head, the latents or an auxiliary phenotype, for prepared rows."""
    refuse_several(model, "explain")
    key, module = model.registry_[SETUP_ARGS_KEY]["labels_key"], model.module
    statistics = scaling_statistics(model, prepared)
    state = prepared.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY)
    n_domains = len(state.categorical_mapping)

    def latents(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return module.embed_log(u, domain, statistics).mean

    def classes(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        out = module.embed_log(u, domain, statistics)
        return module.ensemble(out.network, out.linear, domain)

    if target in (None, key):
        order = model.fitted.order.classes
        return Head(key, model.classes, classes, True, n_domains, order)
    if target == LATENTS:
        names = [f"{LATENTS}_{i}" for i in range(module.n_latent)]
        return Head(LATENTS, names, latents, False, n_domains, names)
    found = {p.key: p for p in model.phenotypes}.get(target)
    if found is None:
        known = [key, LATENTS, *(p.key for p in model.phenotypes)]
        msg = f"target={target!r} is not known. Use None or one of {', '.join(known)}."
        raise InputError(msg)

    def phenotype(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        return phenotype_scores(module, found.key, u, domain, statistics)

    names = [found.key] if found.is_numeric else list(found.classes)
    order = names if found.is_numeric else model.fitted.phenotype_order[found.key].classes
    return Head(found.key, names, phenotype, not found.is_numeric, n_domains, order)


def training_arguments(model: DomainVI) -> dict[str, Any]:
    """Arguments with which the training can be repeated; refuse a model that was pretrained."""
    if model.fitted.pretraining is not None:
        msg = (
            "stability= trains the model anew, and cannot repeat its pretraining. Pretrain and "
            "train models with other seeds, and compare what they explain."
        )
        raise InputError(msg)
    return model.fitted.training
