"""Post-hoc fits: centring, calibration, unknown score and the guard's record, after training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import softmax

from domainvi._keys import ROW_WISE_SHARE
from domainvi.data import MODALITIES
from domainvi.linear import fit_centring, logistic, subsample
from domainvi.trust import (
    Calibrator,
    PredictionSets,
    UnknownScorer,
    audit_arrays,
    deal_folds,
    fit_calibrator,
)

from ._inference import forward, labels_of, patterns, unadapted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._domainvi import DomainVI
    from ._inference import RowOutputs

MIN_ROWS = 10
# More rows than this add nothing to what is fitted to them, and cost time and memory.
MAX_POSTHOC_ROWS = 50_000


def fit_posthoc(model: DomainVI, prepared: PreparedAnnData, *, centre: bool) -> None:
    """Centre the latents, and fit calibration, unknown score and the guard's record anew.

    Latents of a row by one of its modalities are not those by both, so each is fitted to the
    training rows as they look with each set of modalities. Without a label, in a query, the fits of
    the reference stay.
    """
    domain, label = prepared.domain, labels_of(model, prepared)
    if not (label >= 0).any():
        return
    fitted, modalities = model.fitted, model.module.modalities
    fitted.centring, fitted.calibration, fitted.unknown = None, {}, {}
    views: list[tuple[RowOutputs, NDArray[np.int64], int]] = []
    for pattern, visible in enumerate(patterns(len(modalities.parts))):
        rows = posthoc_rows(model, prepared, visible)
        if not len(rows):
            continue
        with modalities.looking_at(visible.tolist()):
            out = replace(forward(model, prepared, rows), pattern=np.full(len(rows), pattern))
        held_out = np.isin(rows, model.validation_indices)
        fitted.calibration[pattern] = fit_calibration(out.network, label[rows], held_out)
        if not modalities.n_members:
            fit_network_sets(model, pattern, out, label[rows], domain[rows], held_out)
        z = unadapted(model, out, pattern)
        scorer = fit_unknown(z, label[rows], domain[rows], model.seed)
        if scorer is not None:
            fitted.unknown[pattern] = scorer
        views.append((out, rows, pattern))
    if centre:
        n_domains = len(model.domains)
        fitted.centring = fit_centring(
            np.concatenate([out.mean for out, _, _ in views]),
            np.exp(np.concatenate([out.logits for out, _, _ in views]).astype(np.float64)),
            np.concatenate([pattern * n_domains + domain[rows] for _, rows, pattern in views]),
            (2 ** len(modalities.parts) - 1) * n_domains,
        )
    record_guard(model)
    out, rows, _ = views[-1]
    if len(modalities.parts) > 1:
        rows = posthoc_rows(model, prepared)
        out = forward(model, prepared, rows, wanted=())
    audit_again(model, prepared, rows, out.logits.argmax(axis=1))


def posthoc_rows(
    model: DomainVI, prepared: PreparedAnnData, visible: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Row numbers to fit by, in an order that does not change with that of the rows.

    Of several modalities, these rows have all that are ``visible``.
    """
    order = prepared.order
    if visible is not None and MODALITIES in prepared.obsm:
        has = np.asarray(prepared.obsm[MODALITIES])[:, visible]
        order = order[(has[order] > 0).all(axis=1)]
    domain, label = prepared.domain[order], labels_of(model, prepared)[order]
    return order[subsample(domain, label, model.seed, MAX_POSTHOC_ROWS)]


def record_guard(model: DomainVI) -> None:
    """Record what the guard decided, on the model, in its history and in its summary."""
    module, fitted = model.module, model.fitted
    share = float(module.modalities.row_wise_share)
    prior = class_prior(model)
    fitted.guard = replace(
        fitted.guard,
        agreement=fitted.agreement,
        row_wise_share=share,
        target_class_prior=None if np.isnan(prior).all() else prior,
    )
    if model.history_ is not None and "train_loss" in model.history_:
        index = model.history_["train_loss"].index[-1:]
        model.history_[ROW_WISE_SHARE] = pd.DataFrame({ROW_WISE_SHARE: [share]}, index)
    show_guard(model)


def show_guard(model: DomainVI) -> None:
    """Put what the guard decided at the end of the model's summary."""
    guard = model.fitted.guard
    model._model_summary_string = (
        f"{model._model_summary_string.split(', guard')[0]}, guard: alignment {guard.alignment}, "
        f"row-wise share {guard.row_wise_share:.2f}"
    )


def class_prior(model: DomainVI) -> NDArray[np.float64]:
    """Estimated class proportions, shape (domains, classes); NaN for domains without an estimate.

    A domain is corrected for them where it has labels, but not for all of its rows.
    """
    log_prior = model.module.log_prior.cpu().numpy()
    prior = softmax(log_prior, axis=1).astype(np.float64)
    return np.where(log_prior.any(axis=1, keepdims=True), prior, np.nan)


def audit_again(
    model: DomainVI,
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    predicted: NDArray[np.int64],
) -> None:
    """Audit the design once more, with predictions of ``rows`` where labels are missing."""
    domain = prepared.domain[rows]
    if model.fitted.audit is None or len(np.unique(domain)) < 2:
        return
    audit = audit_arrays(
        domain,
        labels_of(model, prepared)[rows],
        predicted=predicted,
        coarse=None if prepared.coarse is None else prepared.coarse[rows],
        domain_names=model.domains,
        class_names=model.classes,
    )
    model.fitted.audit = replace(model.fitted.audit, with_predictions=audit)


def fit_calibration(
    logits: NDArray[np.float32], label: NDArray[np.int64], held_out: NDArray[np.bool_]
) -> Calibrator:
    """Fit one temperature, at least 1, to the network's answers on labelled rows it never saw.

    The network stands for the ensemble, since the linear members have seen all labels. Held-out
    rows come from the same cohorts as the labels, so they may soften probabilities but not sharpen
    them for other cohorts.
    """
    used = held_out & (label >= 0)
    if used.sum() < MIN_ROWS:
        return Calibrator()
    return fit_calibrator(logits[used], label[used], min_temperature=1.0)


def fit_sets(
    model: DomainVI, prepared: PreparedAnnData, held_out: Mapping[str, pd.DataFrame]
) -> None:
    """Calibrate prediction sets on what linear members say of rows whose labels they did not see.

    Parameters
    ----------
    held_out
        Probabilities by modality, rows by number. Those of rows that have several are averaged as
        predictions are.
    """
    module, fitted = model.module, model.fitted
    domain, label = prepared.domain, labels_of(model, prepared)
    log_prior = module.log_prior.cpu().numpy()
    # Domains without a correction are taken to have the proportions of their labelled rows.
    prior = class_prior(model)
    for pattern, visible in enumerate(patterns(len(module.modalities.parts))):
        parts = zip(module.modalities.parts.items(), visible, strict=True)
        own = [(name, part) for (name, part), seen in parts if seen and name in held_out]
        if not own:
            continue
        weights = [max(1 - float(part.linear.row_wise_share), 1e-6) for _, part in own]
        pooled = [w * held_out[name] for (name, _), w in zip(own, weights, strict=True)]
        p = (sum(pooled[1:], pooled[0]) / sum(weights)).dropna()
        if len(rows := p.index.to_numpy()):
            p = softmax(np.log(p.to_numpy()) + log_prior[domain[rows]], axis=1)
            fitted.sets[pattern] = PredictionSets.fit(p, label[rows], domain[rows], prior)


def fit_network_sets(
    model: DomainVI,
    pattern: int,
    out: RowOutputs,
    label: NDArray[np.int64],
    domain: NDArray[np.int64],
    held_out: NDArray[np.bool_],
) -> None:
    """Calibrate prediction sets on held-out rows of the network, where it has no linear members."""
    used = held_out & (label >= 0)
    if used.any():
        p = softmax(out.network[used].astype(np.float64), axis=1)
        model.fitted.sets[pattern] = PredictionSets.fit(p, label[used], domain[used])


def fit_unknown(
    components: NDArray[np.float32], label: NDArray[np.int64], domain: NDArray[np.int64], seed: int
) -> UnknownScorer | None:
    """Unknown score from un-adapted components of labelled rows; ``None`` with too few of them.

    Nothing that was taught about a target has a part in it: members that learnt to call rows of
    an unknown class by a known one are sure of them, and latents put them where that class is.
    """
    used = label >= 0
    label, z = label[used], components[used].astype(np.float64)
    count = np.bincount(label)
    if len(label) < MIN_ROWS or (count > 1).sum() < 2:
        return None
    # Classes count the same, and the weight of a row is one on average.
    n_classes, weight = len(count), len(label) / (count > 0).sum() / np.maximum(count, 1)
    fold = deal_folds(label, np.random.default_rng(seed))
    logits = np.empty((len(label), n_classes))
    for f in np.unique(fold):
        held = fold == f
        coef, intercept = logistic(z[~held], label[~held], weight[label[~held]], n_classes)
        logits[held] = z[held] @ coef + intercept
    coef, intercept = logistic(z, label, weight[label], n_classes)
    classifier = np.vstack([intercept, coef])
    return UnknownScorer.fit(z, label, logits, classifier, fold, domain=domain[used])
