"""Before training: input scaling, linear members and what they say of all rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from domainvi.errors import InputError
from domainvi.linear import (
    FEW_CLASSES,
    MAX_ROWS,
    OpenClasses,
    TrainingRows,
    rows_for,
    source_domains,
    subsample,
)
from domainvi.pretraining import start_classifier
from domainvi.train import initialise, log_rows, log_values, modalities_of, set_library

from ._inference import embedded, labels_of
from ._phenotypes import fit_phenotypes
from ._posthoc import fit_sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI


# Probabilities that a teacher keeps in single precision.
MANY_VALUES = 2**24


def fit_starting_values(model: DomainVI, prepared: PreparedAnnData) -> None:
    """Fit scaling and linear members of each modality to the rows that have it."""
    module, fitted = model.module, model.fitted
    domain, label = prepared.domain, labels_of(model, prepared)
    is_source = source_domains(domain, label, len(model.domains))
    priors, agreements = [], []
    held_out: dict[str, pd.DataFrame] = {}
    for name, part, has in modalities_of(module, prepared):
        modality = module.modalities.parts[name]
        own = prepared.order[has[prepared.order]]
        drawn = own[subsample(domain[own], label[own], model.seed)]
        set_library(modality, part, drawn)
        taught, more_rows = drawn, None
        if len(model.classes) > FEW_CLASSES and len(own) > MAX_ROWS:
            limits = rows_for(len(model.classes))
            taught = own[subsample(domain[own], label[own], model.seed, *limits)]
            more_rows = partial(starting_rows, model, name, part, taught, is_source)
        # A modality without labelled rows of a source has nothing to fit members to.
        can_teach = bool((is_source[domain[drawn]] & (label[drawn] >= 0)).any())
        # The rows are not kept here, so that they can be freed when they have served.
        fit = initialise(
            modality,
            starting_rows(model, name, part, drawn, is_source),
            model.scaling if can_teach else "domain",
            more_rows=more_rows,
            keep_encoder=fitted.pretraining is not None,
        )
        if fit is not None:
            priors.append(torch.as_tensor(fit.log_prior, dtype=torch.float32))
            agreements += [] if fit.agreement is None else [fit.agreement]
            held_out[name] = pd.DataFrame(fit.held_out, index=taught).dropna()
        if model.phenotypes:
            fit_phenotypes(model, part, starting_rows(model, name, part, drawn, is_source))
    if priors:
        module.log_prior.copy_(torch.stack(priors).mean(dim=0))
    fit_sets(model, prepared, held_out)
    module.share_vote()
    module.alignment.is_source.copy_(torch.from_numpy(is_source))
    fitted.agreement = float(np.mean(agreements)) if agreements else None
    fitted.is_scaled = True
    if fitted.pretraining is not None:
        start_classifier(model, prepared)


def starting_rows(
    model: DomainVI,
    name: str,
    part: PreparedAnnData,
    drawn: NDArray[np.int64],
    is_source: NDArray[np.bool_],
    genes: NDArray[np.int64] | None = None,
) -> TrainingRows:
    """Read the rows from which starting values of a modality are estimated, with all genes or some.

    Some are read of more rows than would be in memory with all.
    """
    where = (model.module.modalities.parts[name], part, drawn)
    x = log_rows(*where) if genes is None else log_values(*where, genes)
    if not np.ptp(x, axis=0).any():
        msg = (
            f"No gene differs between rows: all {len(x)} hold the same {x.shape[1]} values. "
            "Check which layer holds the expression values."
        )
        raise InputError(msg)
    domain, label = part.domain[drawn], labels_of(model, part)[drawn]
    return TrainingRows(x, domain, label, is_source, len(model.classes), open_classes(part, drawn))


def open_classes(part: PreparedAnnData, rows: NDArray[np.int64]) -> OpenClasses | None:
    """Classes that coarse labels of rows leave open, where training may read these."""
    if part.possible is None:
        return None
    code, masks = part.possible
    code = code[rows] if part.hidden is None else np.where(part.hidden[rows], 0, code[rows])
    return OpenClasses(code, masks)


@torch.inference_mode()
def linear_probabilities(model: DomainVI, prepared: PreparedAnnData) -> NDArray[np.floating]:
    """Class probabilities of the linear members for all rows, ``(n_rows, n_classes)``.

    They are in half precision where in single they would take more than 64 MB.
    """
    shape = prepared.n_obs, len(model.classes)
    out = np.empty(shape, dtype=np.float16 if shape[0] * shape[1] > MANY_VALUES else np.float32)
    model.module.eval()
    for places, _, e, _ in embedded(model, prepared, prepared.order, None, wanted=()):
        rows, p = prepared.order[places], np.exp(e.linear.cpu().numpy())
        known = open_classes(prepared, rows)
        out[rows] = p if known is None else known.restrict(p)
    return out
