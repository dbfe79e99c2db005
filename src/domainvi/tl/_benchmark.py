"""Compare DomainVI with simpler methods on the user's own cohorts."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from domainvi.data import check_setup
from domainvi.errors import InputError

from ._baselines import BASELINES
from ._cohorts import Cohorts
from ._protocols import Protocol
from ._scores import score_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from ._protocols import Trial

logger = logging.getLogger(__name__)

_CLASSICAL = {
    "logistic_regression": "lr_source",
    "logistic_regression_z": "lr_z",
    "coral": "coral_lr",
    "random_forest": "random_forest",
    "gradient_boosting": "gradient_boosting",
    "linear_svm": "linear_svm",
    "majority": "majority",
}
METHODS = ("domainvi", *_CLASSICAL)
COLUMNS = (
    "protocol",
    "held_out",
    "method",
    "budget",
    "seed",
    "n_train",
    "n_test",
    "macro_f1",
    "balanced_accuracy",
    "accuracy",
    "worst_recall",
    "auroc",
    "ece",
    "nll",
    "seconds",
)


def benchmark(
    adata: AnnData,
    *,
    batch_key: str,
    labels_key: str,
    unlabeled_category: str = "Unknown",
    protocol: Protocol = "leave_one_domain_out",
    methods: Sequence[str] = (
        "domainvi",
        "logistic_regression",
        "logistic_regression_z",
        "random_forest",
        "majority",
    ),
    groups: str | None = None,
    budgets: Sequence[int] = (0, 1, 2, 5, 10, 20),
    n_splits: int = 5,
    seeds: Sequence[int] = (0,),
    layer: str | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Measure how well labels transfer between the cohorts at hand, by several methods.

    Every method may use the values of the scored rows, but not their labels.

    Parameters
    ----------
    adata
        Cohorts with labels; not changed.
    batch_key
        Column of ``adata.obs`` that names the domain.
    labels_key
        Column with the phenotype.
    unlabeled_category
        Rows with this value, like rows without one, are unlabelled.
    protocol
        ``"leave_one_domain_out"`` scores each domain with labels from the others only.
        ``"cross_validation"`` parts rows at random within domains: what the figure would be if
        the next cohort came from the same laboratories. ``"label_budget"`` holds each domain out
        but for a few labels of each class.
    methods
        Any of ``"domainvi"``, ``"logistic_regression"`` (scaled by the reference),
        ``"logistic_regression_z"`` (scaled within each domain), ``"coral"``, ``"random_forest"``,
        ``"gradient_boosting"``, ``"linear_svm"`` and ``"majority"``.
    groups
        Column, such as a patient or a study, of which no value is on both sides.
    budgets
        Labels of each class shown in the held-out domain, for ``"label_budget"``.
    n_splits
        Number of folds, for ``"cross_validation"``.
    seeds
        Repetitions, each with its own draw of rows and initialisation.
    layer
        Layer with the values, or None for ``adata.X``.
    train_kwargs
        Passed to :meth:`domainvi.DomainVI.train`.

    Returns
    -------
    One row for each held-out part, method, budget and seed: number of labelled rows that taught
    and of rows scored, macro-F1, balanced accuracy, accuracy, lowest recall of a class, AUROC
    (one class against the rest), expected calibration error, negative log-likelihood, seconds.
    Means over classes are over the classes of the scored rows. ``budget`` is missing where it
    does not vary.

    Raises
    ------
    InputError
        If an argument or the data cannot be used, or nothing can be scored.

    Examples
    --------
    >>> import domainvi as dv
    >>> adata = dv.data.synthetic_cohorts(n_obs=120)
    >>> table = dv.tl.benchmark(
    ...     adata, batch_key="domain", labels_key="label_true", methods=["majority"]
    ... )
    >>> table["method"].unique().tolist()
    ['majority']
    """
    _check_arguments(protocol, methods, budgets, n_splits, seeds)
    check_setup(
        adata,
        batch_keys=[batch_key],
        labels_key=labels_key,
        unlabeled_category=unlabeled_category,
        layer=layer,
    )
    cohorts = Cohorts(adata, batch_key, labels_key, unlabeled_category, groups, layer)
    table = [
        {"protocol": protocol, **record}
        for seed in seeds
        for trial in cohorts.trials(protocol, budgets, n_splits, seed)
        for record in _run_trial(cohorts, trial, methods, seed, dict(train_kwargs or {}))
    ]
    if not table:
        msg = (
            f"protocol={protocol!r} leaves nothing to score: no held-out part has labelled rows of "
            "a class that the rest teaches. See tl.audit_confounding for the shared classes."
        )
        raise InputError(msg)
    return pd.DataFrame(table, columns=list(COLUMNS)).astype({"budget": "Int64"})


def _check_arguments(
    protocol: str,
    methods: Sequence[str],
    budgets: Sequence[int],
    n_splits: int,
    seeds: Sequence[int],
) -> None:
    if protocol not in get_args(Protocol):
        msg = f"protocol={protocol!r}; expected one of {', '.join(get_args(Protocol))}."
        raise InputError(msg)
    unknown = [name for name in methods if name not in METHODS]
    if isinstance(methods, str) or unknown or not methods:
        msg = f"methods={methods!r}; expected a list with names out of {', '.join(METHODS)}."
        raise InputError(msg)
    if not len(seeds):
        msg = "seeds is empty; expected at least one whole number."
        raise InputError(msg)
    if n_splits < 2:
        msg = f"n_splits={n_splits}; expected at least 2."
        raise InputError(msg)
    if not len(budgets) or min(budgets) < 0:
        msg = f"budgets={tuple(budgets)!r}; expected numbers of labels, 0 or more."
        raise InputError(msg)


def _run_trial(
    cohorts: Cohorts,
    trial: Trial,
    methods: Sequence[str],
    seed: int,
    train_kwargs: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    arrays = cohorts.arrays(trial) if set(methods) & set(_CLASSICAL) else None
    scored = trial.scored[trial.used]
    for method in methods:
        logger.info("%s, seed %d: %s", trial.held_out, seed, method)
        start = time.perf_counter()
        if arrays is not None and method in _CLASSICAL:
            probabilities = BASELINES[_CLASSICAL[method]](arrays, seed=seed)
        else:
            probabilities = _domainvi(cohorts, trial, seed, train_kwargs)
        yield {
            "held_out": trial.held_out,
            "method": method,
            "budget": trial.budget,
            "seed": seed,
            "n_train": int(trial.shown.sum()),
            "n_test": int(trial.scored.sum()),
            "seconds": time.perf_counter() - start,
            **score_probabilities(cohorts.rows.label[trial.scored], probabilities[scored]),
        }


def _domainvi(
    cohorts: Cohorts, trial: Trial, seed: int, train_kwargs: dict[str, Any]
) -> NDArray[np.float64]:
    from domainvi import DomainVI

    work = cohorts.anndata(trial)
    DomainVI.setup_anndata(
        work,
        batch_key="domain",
        labels_key="label",
        unlabeled_category=cohorts.unlabeled_category,
    )
    model = DomainVI(work, seed=seed)
    model.train(**train_kwargs)
    soft = pd.DataFrame(model.predict(soft=True))
    return np.asarray(soft.reindex(columns=cohorts.classes, fill_value=0.0), dtype=np.float64)
