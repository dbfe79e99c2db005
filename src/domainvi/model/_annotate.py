"""Write results into the user's AnnData: the keys of :mod:`domainvi._keys` and nothing else."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from domainvi import _keys
from domainvi._checks import check_positive, check_share
from domainvi._compat import SETUP_ARGS_KEY
from domainvi._written import check_free, replace_earlier
from domainvi.data import count_empty_rows
from domainvi.module import heads_of
from domainvi.trust import check_set_alpha

from ._diagnosis import add_verdict, describe_sets, prediction_sets, rows_of_cautions, summarise
from ._inference import outputs, probabilities, restricted, unadapted, unknown_p_values
from ._phenotypes import phenotype_numbers, phenotype_probabilities
from ._setup import columns_of, prepare_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import LabelTree, PreparedAnnData

    from ._domainvi import DomainVI
    from ._fitted import Order
    from ._inference import RowOutputs

logger = logging.getLogger(__name__)

# What may stand between the classes of a set, the first that no class contains.
SEPARATORS = ("|", ";", "~", "^", "\x1f")
# Rows whose probabilities are worked on at once.
ANSWERED_ROWS = 2**15
# Colour of rows that are called none of the classes.
GREY = "#d3d3d3"


class Options(NamedTuple):
    """Arguments of :meth:`domainvi.DomainVI.annotate` that say what is written of each row."""

    unknown_alpha: float | None
    targets: list[str]
    classes: Sequence[str] | None
    level_confidence: float | None


class Columns:
    """Everything that is written, gathered before the first key is."""

    def __init__(self) -> None:
        self.obs: dict[str, Any] = {}
        self.obsm: dict[str, NDArray[np.float32]] = {}
        self.uns: dict[str, Any] = {}
        # Rows whose class is more likely one that was taken to be impossible.
        self.excluded: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def add_classes(
        self,
        key: str,
        order: Order,
        p: NDArray[np.floating],
        known: NDArray[np.float64],
        unlabelled: str,
        unknown_alpha: float | None,
    ) -> None:
        """Add the columns of a categorical phenotype, classes in the order of the reference."""
        names = np.asarray(order.classes, dtype=object)[p.argmax(axis=1)]
        categories, colors = list(order.classes), list(order.colors)
        if unknown_alpha is not None:
            names = np.where(known <= unknown_alpha, unlabelled, names)
            categories.append(unlabelled)
            colors.append(GREY)
        self.obs |= {
            _keys.prediction(key): pd.Categorical(names, categories=categories),
            _keys.confidence(key): p.max(axis=1).astype(np.float32),
            _keys.unknown(key): known.astype(np.float32),
        }
        self.obsm[_keys.probability(key)] = p.astype(np.float32, copy=False)
        if order.colors:
            self.uns[_keys.colors(_keys.prediction(key))] = colors

    def add_levels(
        self,
        tree: LabelTree,
        order: Order,
        p: NDArray[np.floating],
        unlabelled: str,
        level_confidence: float | None,
    ) -> None:
        """Add the columns of coarser levels, and name rows as finely as they are sure of."""
        key, last = tree.levels[-1], len(tree.levels) - 1
        is_unknown = np.asarray(self.obs[_keys.prediction(key)] == unlabelled)
        names, sums = tree.path(p, order.classes)
        found, confidence, at = tree.named(p, order.classes, level_confidence)
        for number, level in enumerate(tree.levels):
            known = tree.names(number, order.classes)
            own, conf = names[:, number], sums[:, number]
            if number == last:
                own, conf = found, confidence
                known += sorted(set(found) - set(known))
            else:
                total = p @ tree.membership(number, order.classes)
                self.obsm[_keys.probability(level)] = total.astype(np.float32)
            if is_unknown.any():
                own, known = np.where(is_unknown, unlabelled, own), [*known, unlabelled]
            self.obs[_keys.prediction(level)] = pd.Categorical(own, categories=known)
            self.obs[_keys.confidence(level)] = conf.astype(np.float32)
        levels = pd.Categorical.from_codes(at, categories=list(tree.levels), ordered=True)
        self.obs[_keys.level(key)] = levels
        self.uns.pop(_keys.colors(_keys.prediction(key)), None)

    def add_sets(
        self, key: str, classes: list[str], sets: NDArray[np.bool_], without: NDArray[np.bool_]
    ) -> str:
        """Add the column of prediction sets, none for rows ``without``; return the separator."""
        separator = next(s for s in SEPARATORS if not any(s in c for c in classes))
        found, code = np.unique(sets, axis=0, return_inverse=True)
        names = [separator.join(np.asarray(classes, dtype=object)[row]) for row in found]
        code = np.where(without, -1, code.ravel())
        column = pd.Categorical.from_codes(code, names).remove_unused_categories()
        self.obs[_keys.prediction_set(key)] = column
        return separator

    def write(
        self, target: AnnData | MuData, prepared: PreparedAnnData, inputs: Iterable[str]
    ) -> None:
        """Write everything; rows of ``target`` that were not prepared get missing values."""
        names = target.obs_names.astype(str)
        ours = replace_earlier(target, {*self.obs, *self.obsm}, inputs)
        self.uns[_keys.RESULTS][_keys.COLUMNS] = ours
        for name, values in self.obs.items():
            column = pd.Series(values, index=prepared.obs_names).reindex(names)
            target.obs[name] = column.set_axis(target.obs_names)
        inside = names.isin(prepared.obs_names)
        for name, array in self.obsm.items():
            target.obsm[name] = array if inside.all() else at_rows(inside, array)
        target.uns.update(self.uns)


def annotate(
    model: DomainVI,
    adata: AnnData | MuData | None,
    unknown_alpha: float | None,
    targets: Sequence[str] | None,
    caution_rows: NDArray[np.bool_] | None,
    overwrite: bool,
    set_alpha: float | None,
    classes: Sequence[str] | None,
    level_confidence: float | None,
    min_genes: int | None,
) -> None:
    """Annotate; see :meth:`domainvi.DomainVI.annotate`."""
    options = checked_options(model, unknown_alpha, targets, classes, level_confidence)
    if set_alpha is not None:
        check_set_alpha(set_alpha, "set_alpha")
    check_positive(min_genes=min_genes)
    is_own = adata is None or adata is model.adata or min_genes is None
    prepared = model._validate_anndata(adata) if is_own else prepare_query(model, adata, min_genes)
    target, domain = model._own_data() if adata is None else adata, prepared.domain
    about = rows_of_cautions(model, prepared, target, caution_rows)
    wanted = ("reference",) if set_alpha is None else ("reference", "linear")
    out = outputs(model, prepared, None, wanted=wanted)
    key, order = model.registry_[SETUP_ARGS_KEY]["labels_key"], model.fitted.order
    known = {key: unknown_p_values(model, prepared, out)}
    for name in set(options.targets) & set(model.fitted.phenotype_unknown):
        scorer = model.fitted.phenotype_unknown[name]
        known[name] = scorer.p_value(unadapted(model, out, 0), domain=domain)
    # Sets come first: the columns are made where the answer was.
    kept = options.classes
    sets = None if set_alpha is None else prediction_sets(model, out, domain, set_alpha, kept)
    columns = fill_columns(model, out, domain, known, options)
    columns.uns[_keys.RESULTS] = summary = summarise(model, prepared, count_empty_rows(prepared.X))
    if set_alpha is not None and sets is not None:
        sets = sets[:, [model.classes.index(c) for c in order.classes]]
        separator = columns.add_sets(key, order.classes, sets, known[key] <= (unknown_alpha or -1))
        summary[_keys.PREDICTION_SETS] = describe_sets(
            model, prepared, set_alpha, sets, about, separator
        )
    label, confidence = (columns.obs[name(key)] for name in (_keys.prediction, _keys.confidence))
    rows = pd.DataFrame({"label": label, "confidence": confidence, "unknown": known[key]})[about]
    n_excluded = int(columns.excluded[about].sum())
    add_verdict(summary, model, prepared, rows, kept, n_excluded)
    setup = columns_of(model.registry_[SETUP_ARGS_KEY])
    levels = (setup.labels_key,) if setup.tree is None else setup.tree.levels
    inputs = (*setup.batch_keys, *levels, *setup.target_keys, *setup.covariates)
    if not overwrite:
        check_free(target, {"obs": columns.obs, "obsm": columns.obsm}, inputs)
    say(summary, prepared.n_obs)
    columns.write(target, prepared, inputs)


def checked_options(
    model: DomainVI,
    unknown_alpha: float | None,
    targets: Sequence[str] | None,
    classes: str | Sequence[str] | None,
    level_confidence: float | None,
) -> Options:
    """Refuse what cannot be written of each row; JSON can hold what is returned."""
    model._check_trained()
    check_share("unknown_alpha", unknown_alpha)
    check_share("level_confidence", level_confidence)
    chosen = [p.key for p in model.phenotypes] if targets is None else list(targets)
    for key in chosen:
        heads_of(model.module).index(key)
    named = [classes] if isinstance(classes, str) else None if classes is None else list(classes)
    restricted(model, np.ones((1, len(model.classes))), named)
    alpha, least = (None if v is None else float(v) for v in (unknown_alpha, level_confidence))
    return Options(alpha, chosen, named, least)


def fill_columns(
    model: DomainVI,
    out: RowOutputs,
    domain: NDArray[np.int64],
    known: Mapping[str, NDArray[np.float64]],
    options: Options,
) -> Columns:
    """Turn the answer for rows into what is written of each of them.

    Parameters
    ----------
    out
        The answer. Of many rows and classes one array takes most of the memory, so that
        probabilities are written where the logits were.
    domain
        Domain codes, shape ``(n_rows,)``.
    known
        P-values of the rows for belonging to any known class, by phenotype; one that is not named
        was not tested.
    """
    setup, order, columns = model.registry_[SETUP_ARGS_KEY], model.fitted.order, Columns()
    key, unlabelled = setup["labels_key"], setup["unlabeled_category"]
    places = [model.classes.index(c) for c in order.classes]
    possible = np.isin(model.classes, model.classes if options.classes is None else options.classes)
    columns.excluded = np.zeros(len(domain), dtype=bool)
    # Sums over the classes of names are compared with each other, in double precision.
    p = out.logits if model.label_tree is None else np.empty(out.logits.shape)
    # Probabilities in double precision of all rows at once would take three times as much.
    for some in (slice(i, i + ANSWERED_ROWS) for i in range(0, len(p), ANSWERED_ROWS)):
        part = probabilities(model, out.take(some))
        columns.excluded[some] = part[:, possible].sum(axis=1) < 0.5
        p[some] = restricted(model, part, options.classes)[:, places]
    columns.obsm[_keys.LATENT] = out.latent
    columns.add_classes(key, order, p, known[key], unlabelled, options.unknown_alpha)
    if model.label_tree is not None:
        columns.add_levels(model.label_tree, order, p, unlabelled, options.level_confidence)
    for name in options.targets:
        add_phenotype(columns, model, name, out, domain, known.get(name), options.unknown_alpha)
    return columns


def add_phenotype(
    columns: Columns,
    model: DomainVI,
    key: str,
    out: RowOutputs,
    domain: NDArray[np.int64],
    known: NDArray[np.float64] | None,
    unknown_alpha: float | None,
) -> None:
    """Add the columns of an auxiliary phenotype."""
    i = heads_of(model.module).index(key)
    phenotype = model.phenotypes[i]
    if phenotype.is_numeric:
        value, error = phenotype_numbers(model, i, out, domain)
        columns.obs |= {_keys.prediction(key): value, _keys.confidence(key): error}
        return
    order = model.fitted.phenotype_order[key]
    places = [phenotype.classes.index(c) for c in order.classes]
    p = phenotype_probabilities(model, i, out, domain)[:, places]
    known = np.full(len(domain), np.nan) if known is None else known
    unlabelled = model.registry_[SETUP_ARGS_KEY]["unlabeled_category"]
    columns.add_classes(key, order, p, known, unlabelled, unknown_alpha)


def finest_predictions(model: DomainVI, adata: AnnData | MuData) -> pd.Series:
    """Predicted classes of annotated rows, of several levels at the finest.

    They are comparable with labels of that level, whichever level each row is named at.
    """
    setup = model.registry_[SETUP_ARGS_KEY]
    key = setup["labels_key"]
    predicted = adata.obs[_keys.prediction(key)]
    if model.label_tree is None:
        return predicted
    p, classes = adata.obsm[_keys.probability(key)], model.fitted.order.classes
    best = model.label_tree.path(p, classes)[0][:, -1]
    kept = predicted.isna() | (predicted == setup["unlabeled_category"])
    return predicted.astype(object).where(kept, best)


def say(summary: dict[str, Any], n_rows: int) -> None:
    """Warn of rows without values, and log how many cautions there are."""
    if empty := summary[_keys.ROWS_WITHOUT_VALUES]:
        warnings.warn(
            f"{empty} of {n_rows} rows hold nothing but zeros in the genes of the model; their "
            "predictions mean nothing. Filter them out.",
            UserWarning,
            stacklevel=4,
        )
    if n := len(summary[_keys.CAUTIONS]):
        said = "Cautions on these predictions: %d, see uns[%r][%r]."
        logger.warning(said, n, _keys.RESULTS, _keys.CAUTIONS)


def at_rows(inside: NDArray[np.bool_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give rows outside of the model's data missing values.

    Examples
    --------
    >>> from domainvi.model._annotate import at_rows
    >>> at_rows(np.array([True, False]), np.array([[0.5]], dtype=np.float32)).tolist()
    [[0.5], [nan]]
    """
    out = np.full((len(inside), values.shape[1]), np.nan, dtype=np.float32)
    out[inside] = values
    return out
