"""Compare DomainVI with simpler methods on the user's own cohorts."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd

from domainvi.data import check_setup, is_number_column
from domainvi.errors import InputError, TrainingError

from ._cohorts import Cohorts
from ._phenotypes import ClassPhenotype, NumberPhenotype
from ._protocols import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from anndata import AnnData

    from ._protocols import Trial

logger = logging.getLogger(__name__)

_UNIT = ("protocol", "held_out", "method", "budget", "seed", "n_train", "n_test")


def benchmark(
    adata: AnnData,
    *,
    batch_key: str,
    labels_key: str,
    target_key: str | None = None,
    unlabeled_category: str = "Unknown",
    protocol: Protocol | Sequence[Protocol] = "leave_one_domain_out",
    methods: Sequence[str] | None = None,
    groups: str | None = None,
    budgets: Sequence[int] = (0, 1, 2, 5, 10, 20),
    n_splits: int = 5,
    seeds: Sequence[int] = (0,),
    layer: str | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Measure how well labels transfer between the cohorts at hand, by several methods.

    Every method may use the values of the scored rows, but not their labels. Random
    cross-validation beside leave-one-domain-out says how much of a score is owed to rows of the
    same laboratory on both sides; :func:`domainvi.pl.benchmark` draws them together.

    Parameters
    ----------
    adata
        Cohorts with labels; not changed.
    batch_key
        Column of ``adata.obs`` that names the domain.
    labels_key
        Column with the phenotype: names, or numbers such as age, which are regressed.
    target_key
        Column with an auxiliary phenotype, names or numbers, that is scored in place of
        ``labels_key``. DomainVI is then trained with ``labels_key`` as its main phenotype, which is
        hidden along with this one. Without it numbers are left to the simpler methods, since the
        main phenotype of DomainVI has classes.
    unlabeled_category
        Rows with this value, like rows without one, are unlabelled.
    protocol
        ``"leave_one_domain_out"`` scores each domain with labels from the others only.
        ``"cross_validation"`` parts rows at random within domains: what the score would be if
        the next cohort came from the same laboratories. ``"label_budget"`` holds each domain out
        but for a few labels of each class. Several are run one after the other.
    methods
        For classes any of ``"domainvi"``, ``"logistic_regression"`` (scaled by the reference),
        ``"logistic_regression_z"`` (scaled within each domain), ``"coral"``, ``"random_forest"``,
        ``"gradient_boosting"`` and ``"linear_svm"``; the first three and the forest if ``None``.
        For numbers ``"domainvi"`` (with ``target_key``), ``"ridge"`` (scaled by the reference),
        ``"ridge_z"`` and ``"random_forest"``; all if ``None``. The floor, ``"majority"`` or
        ``"mean"``, is always there.
    groups
        Column, such as a patient or a study, of which no value is on both sides.
    budgets
        Labels of each class (of a numeric phenotype: rows) shown in the held-out domain, for
        ``"label_budget"``.
    n_splits
        Number of folds, for ``"cross_validation"``.
    seeds
        Random seeds, one for each repetition: they draw the rows and initialise the methods.
    layer
        Layer with the values, or None for ``adata.X``.
    train_kwargs
        Passed to :meth:`domainvi.DomainVI.train`.

    Returns
    -------
    One row for each protocol, held-out part, method, budget and seed: number of labelled rows
    shown and of rows scored, macro-F1, balanced accuracy, accuracy, lowest recall of a class,
    AUROC (one class against the rest), expected calibration error, negative log-likelihood,
    seconds. Means over classes are over the classes of the scored rows. A numeric phenotype has
    R2, against the mean of the scored rows, and mean absolute error instead. ``budget`` is missing
    where it does not vary, and scores are where a method cannot learn from what it is shown, such
    as a class of one row; the log says why.

    Raises
    ------
    InputError
        If an argument or the data cannot be used, or nothing can be scored.

    Examples
    --------
    >>> adata = dv.data.synthetic_cohorts(n_obs=120)
    >>> table = dv.tl.benchmark(
    ...     adata, batch_key="domain", labels_key="label_true", methods=["logistic_regression_z"]
    ... )
    >>> table["method"].unique().tolist()
    ['logistic_regression_z', 'majority']
    """
    protocols = [protocol] if isinstance(protocol, str) else list(protocol)
    _check_arguments(protocols, budgets, n_splits, seeds)
    scored = labels_key if target_key is None else target_key
    only_number = target_key is None and scored in adata.obs and is_number_column(adata.obs[scored])
    check_setup(
        adata,
        batch_keys=[batch_key],
        labels_key=None if only_number else labels_key,
        target_keys=[scored] if only_number or target_key is not None else None,
        unlabeled_category=unlabeled_category,
        layer=layer,
    )
    main = None if target_key is None else labels_key
    cohorts = Cohorts(adata, batch_key, scored, unlabeled_category, groups, layer, main)
    kind = NumberPhenotype if cohorts.is_number else ClassPhenotype
    phenotype = kind(cohorts, train_kwargs or {})
    contenders = _with_floor(methods, phenotype)
    table = [
        {"protocol": name, **record}
        for name in protocols
        for seed in seeds
        for trial in cohorts.trials(name, budgets, n_splits, seed)
        for record in _run_trial(cohorts, phenotype, trial, contenders, seed)
    ]
    if not table:
        msg = (
            f"protocol={protocol!r} leaves nothing to score: no held-out part has labelled rows of "
            "a class that the rest teaches. See tl.audit_confounding for the shared classes."
        )
        raise InputError(msg)
    columns = [*_UNIT, *phenotype.scores, "seconds"]
    return pd.DataFrame(table, columns=columns).astype({"budget": "Int64"})


def _check_arguments(
    protocols: Sequence[str], budgets: Sequence[int], n_splits: int, seeds: Sequence[int]
) -> None:
    unknown = [name for name in protocols if name not in get_args(Protocol)]
    if unknown or not protocols:
        msg = (
            f"protocol={', '.join(map(repr, unknown)) or '()'}; expected one or more of "
            f"{', '.join(get_args(Protocol))}."
        )
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


def _with_floor(
    methods: Sequence[str] | None, phenotype: ClassPhenotype | NumberPhenotype
) -> tuple[str, ...]:
    """Check the names of the methods, and add the one that uses no gene."""
    chosen = phenotype.usual if methods is None else methods
    unknown = [name for name in chosen if name not in phenotype.methods]
    if isinstance(chosen, str) or unknown or not chosen:
        known = ", ".join(phenotype.methods)
        msg = f"methods={methods!r}; expected a list with names out of {known}."
        raise InputError(msg)
    return tuple(dict.fromkeys([*chosen, phenotype.floor]))


def _run_trial(
    cohorts: Cohorts,
    phenotype: ClassPhenotype | NumberPhenotype,
    trial: Trial,
    methods: Sequence[str],
    seed: int,
) -> Iterator[dict[str, Any]]:
    arrays = cohorts.arrays(trial)
    for method in methods:
        logger.info("%s: %s, seed %d", trial.name, method, seed)
        start = time.perf_counter()
        try:
            scores = phenotype.run(trial, arrays, method, seed)
        except (InputError, TrainingError) as error:
            # What was measured so far is not lost for one part that cannot be.
            logger.warning("%s: %s has no scores: %s", trial.name, method, error)
            scores = dict.fromkeys(phenotype.scores, float("nan"))
        yield {
            "held_out": trial.held_out,
            "method": method,
            "budget": trial.budget,
            "seed": seed,
            "n_train": int(trial.shown.sum()),
            "n_test": int(trial.scored.sum()),
            "seconds": time.perf_counter() - start,
            **scores,
        }
