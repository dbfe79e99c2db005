"""Cautions: reasons not to believe predictions, in sentences with their codes and numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from scipy.stats import false_discovery_control

from domainvi import _keys as keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from ._audit import Audit
    from ._guard import GuardRecord

# Rows from which a cohort's own centre and scale are worth something.
SMALL_COHORT = 20
# Rows under this probability of their class are called unsure.
UNSURE = 0.6
# Shares of unsure rows, of rows of classes that were excluded, and of experts of single rows in the
# vote, above which a caution is given.
_MANY_UNSURE, _MANY_EXCLUDED, _MUCH_ROW_WISE = 0.2, 0.05, 0.7
# P-values above this are taken to be those of known rows.
_HALF = 0.5
# Share of the rows that fit no known class, above which the one that they are given is named.
_MOST = 0.8
# Share of genes that rows lack, above which it is more than a note.
_MANY_MISSING = 0.2

# What a reason is called, in print and in files; the page of the cautions says what to do.
ALIGNMENT, NESTED, COMPOSITION = "C01 alignment", "C02 nested", "C03 composition"
UNKNOWN, UNTESTED, UNSURE_ROWS = "C04 unknown", "C05 untested", "C06 unsure"
SMALL, MISSING, SINGLE, EXCLUDED = "C07 small", "C08 genes", "C09 single", "C10 excluded"
CODES = (
    *(ALIGNMENT, NESTED, COMPOSITION, UNKNOWN, UNTESTED),
    *(UNSURE_ROWS, SMALL, MISSING, SINGLE, EXCLUDED),
)


class Caution(NamedTuple):
    """A reason not to believe predictions, or a note on something that costs them little.

    Parameters
    ----------
    code
        Number and name, which stay the same between versions.
    sentence
        The reason, with its numbers.
    level
        ``"caution"`` if a person should look at the predictions, otherwise ``"note"``.

    Examples
    --------
    >>> from domainvi.trust import Caution
    >>> str(Caution("C08 genes", "One of the model's 1767 genes is missing here.", "note"))
    "C08 genes: One of the model's 1767 genes is missing here."
    """

    code: str
    sentence: str
    level: Literal["caution", "note"] = "caution"

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"


def texts(found: Iterable[Caution], level: Literal["caution", "note"]) -> NDArray[np.str_]:
    """Return code and sentence of the cautions, or of the notes, as text that h5ad can hold.

    Examples
    --------
    >>> texts([Caution("C08 genes", "One is missing.", "note")], "note").tolist()
    ['C08 genes: One is missing.']
    """
    return np.array([str(caution) for caution in found if caution.level == level], dtype=str)


@dataclass(frozen=True)
class Flagged:
    """How many rows look like no known class, beside how many do so by chance.

    Parameters
    ----------
    tested
        Rows that have a p-value.
    found
        Rows whose p-value of belonging to any known class is at most ``Flagged.ALPHA``.
    discoveries
        Rows that are called unknown at a false discovery rate of ``Flagged.FDR``, by the procedure
        of Benjamini and Hochberg (JRSS B 1995).
    p_value
        The largest p-value among these; NaN if there are none.
    share
        Estimated share of rows of unknown classes, one less the share of known ones by which
        p-values above one half are explained (Storey, JRSS B 2002).

    Examples
    --------
    >>> flagged = Flagged.count([0.01, 0.02, 0.03, 0.2, 0.5, 0.8, float("nan")])
    >>> flagged.found, flagged.tested, round(flagged.expected, 1), flagged.is_many
    (3, 6, 0.3, True)
    >>> flagged.discoveries, flagged.p_value, round(flagged.share, 2)
    (3, 0.03, 0.33)
    """

    #: P-value up to which rows are flagged in everything that is printed or drawn.
    ALPHA: ClassVar[float] = 0.05
    #: Times the number expected by chance, above which a caution is given.
    MANY: ClassVar[float] = 2.0

    #: False discovery rate of the rows that are called unknown together.
    FDR: ClassVar[float] = 0.1

    tested: int
    found: int
    discoveries: int = 0
    p_value: float = float("nan")
    share: float = 0.0

    @classmethod
    def count(cls, p_values: ArrayLike) -> Flagged:
        """Count rows by the p-values of :class:`UnknownScorer`, NaN where a row was not tested."""
        p = np.asarray(p_values, dtype=np.float64)
        p = p[np.isfinite(p)]
        if not len(p):
            return cls(0, 0)
        called = p[false_discovery_control(p) <= cls.FDR]
        known = (1 + int((p > _HALF).sum())) / (_HALF * len(p))
        return cls(
            tested=len(p),
            found=int((p <= cls.ALPHA).sum()),
            discoveries=len(called),
            p_value=float(called.max()) if len(called) else float("nan"),
            share=max(0.0, 1 - known),
        )

    def to_dict(self) -> dict[str, float]:
        """Return the figures by name, with the levels that they are at."""
        levels = {"alpha": self.ALPHA, "by_chance": self.expected, "fdr": self.FDR}
        return asdict(self) | levels

    @property
    def expected(self) -> float:
        """Rows that chance alone would flag if all belonged to known classes."""
        return self.ALPHA * self.tested

    @property
    def is_many(self) -> bool:
        """Whether more than twice as many rows are flagged as chance explains."""
        return self.found > self.MANY * self.expected


def annotated_rows(obs: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return label, confidence and p-value of annotated rows, for :func:`find_cautions`.

    Examples
    --------
    >>> obs = pd.DataFrame({"type_pred": ["B"], "type_conf": [0.9], "type_unknown": [0.5]})
    >>> annotated_rows(obs, "type").to_dict("list")
    {'label': ['B'], 'confidence': [0.9], 'unknown': [0.5]}
    """
    found = obs[[keys.prediction(key), keys.confidence(key), keys.unknown(key)]]
    found = found.set_axis(["label", "confidence", "unknown"], axis=1)
    return found.astype({"confidence": float, "unknown": float})


def find_cautions(
    rows: pd.DataFrame,
    *,
    guard: GuardRecord,
    audit: Audit | None,
    n_genes: int,
    n_missing: int,
    n_small: int = 0,
    set_aside: Mapping[str, Sequence[str]] | None = None,
    is_new: bool = False,
    scaled_alike: bool = False,
    n_excluded: int = 0,
) -> list[Caution]:
    """Say what speaks against trusting predictions, each with its numbers.

    Parameters
    ----------
    rows
        Columns ``label`` (the predicted class), ``confidence`` (its probability) and ``unknown``
        (p-value of belonging to any known class, NaN where it was not tested).
    guard
        What the guard of the model decided, with the vote of experts of single rows on these rows.
    audit
        The audit of the training data; ``None`` if none was made.
    n_genes
        Genes of the model.
    n_missing
        Those that the rows lack.
    set_aside
        Classes with one labelled row, by their column.
    n_small
        Rows whose cohort has too few of them to be standardised by itself.
    is_new
        Whether the rows were not there when the model was trained.
    scaled_alike
        Whether a model of one cohort standardises all rows as those of training.
    n_excluded
        Rows whose class is more likely one that was taken to be impossible.

    Returns
    -------
    Cautions and notes; none where nothing was found.

    Examples
    --------
    >>> from domainvi.trust import GuardRecord, find_cautions
    >>> rows = pd.DataFrame({"label": ["B"], "confidence": [0.9], "unknown": [0.5]})
    >>> for found in find_cautions(rows, guard=GuardRecord(), audit=None, n_genes=60, n_missing=10):
    ...     print(f"{found.level}: {found}")
    note: C08 genes: 10 of the model's 60 genes are missing here.
    """
    found: list[Caution] = []
    if audit is not None:
        if guard.alignment == "off":
            found.append(Caution(ALIGNMENT, "Alignment is off, because the audit refused it."))
        found += [Caution(NESTED, sentence) for sentence in audit.nested]
        again = () if is_new or audit.with_predictions is None else audit.with_predictions.nested
        found += [
            Caution(NESTED, f"By the predictions, {sentence}. Check that this is so.", "note")
            for sentence in again
            if sentence not in audit.nested
        ]
    elif is_new and scaled_alike:
        sentence = (
            "The model was trained on one cohort, without a batch_key or with scaling='global', so "
            "that these rows are standardised as its rows were: what differs between two platforms "
            "is left in. If they are of another cohort, train with a batch_key and the default "
            "scaling, on both together (domainvi transfer does) or on the first alone."
        )
        found.append(Caution(ALIGNMENT, sentence))
    many_small = n_small > len(rows) / 2
    if n_small:
        sentence = (
            f"{n_small} of {len(rows)} rows are of cohorts with fewer than {SMALL_COHORT} rows, "
            "so few that their classes can hardly be told from their platform. Give cohorts that "
            "were measured alike one name, or add rows, also unlabelled ones."
        )
        found.append(Caution(SMALL, sentence))
    found += cautions_of_rows(rows, small=many_small)
    if guard.row_wise_share > _MUCH_ROW_WISE:
        sentence = (
            "Views of the target, by its own rows, by the source's and row by row, disagree: "
            "its classes may be mixed in other proportions than those of the reference, or its "
            "platform may differ more than the labels can tell apart. Experts that read one row "
            f"at a time had {guard.row_wise_share:.0%} of the vote. Check some rows, or label a "
            "few of each class and train with them (--use-query-labels of domainvi transfer)."
        )
        found.append(Caution(COMPOSITION, sentence))
    for name, classes in (set_aside or {}).items():
        names = f"{', '.join(classes[:5])}{' and others' if len(classes) > 5 else ''}"
        said = f"Classes of {name!r} with one labelled row cannot be predicted"
        found.append(Caution(SINGLE, f"{said}: {len(classes)}, {names}.", "note"))
    if n_excluded > _MANY_EXCLUDED * len(rows):
        sentence = (
            f"{n_excluded} of {len(rows)} rows are more likely of the classes that were taken to "
            "be impossible than of those that could be there, and got one of these all the same. "
            "Leave such rows out, or name more classes."
        )
        found.append(Caution(EXCLUDED, sentence))
    if n_missing:
        genes = "genes are" if n_missing > 1 else "genes is"
        sentence = f"{n_missing} of the model's {n_genes} {genes} missing here."
        is_many = n_missing > _MANY_MISSING * n_genes
        found.append(Caution(MISSING, sentence, "caution" if is_many else "note"))
    return found


def cautions_of_rows(rows: pd.DataFrame, *, small: bool = False) -> list[Caution]:
    """Say what confidence and p-values of rows speak against.

    Examples
    --------
    >>> rows = pd.DataFrame({"label": ["B", "T"], "confidence": [0.9, 0.4], "unknown": [0.5, 0.5]})
    >>> [str(found) for found in cautions_of_rows(rows)]
    ['C06 unsure: 50% of the rows have a confidence under 0.6.']
    """
    found: list[Caution] = []
    flagged = Flagged.count(rows["unknown"])
    if flagged.is_many:
        sentence = (
            f"{flagged.found} of {flagged.tested} rows fit no known class at p ≤ {flagged.ALPHA}, "
            f"where chance gives {flagged.expected:.0f}; {flagged.discoveries} are called unknown "
            f"at a false discovery rate of {flagged.FDR:.0%}. {why_unknown(rows, small=small)}"
        )
        found.append(Caution(UNKNOWN, sentence))
    if not flagged.tested:
        sentence = "Rows of unknown classes could not be looked for: too few labels."
        found.append(Caution(UNTESTED, sentence))
    unsure = float((rows["confidence"] < UNSURE).mean())
    if unsure > _MANY_UNSURE:
        sentence = f"{unsure:.0%} of the rows have a confidence under {UNSURE}."
        found.append(Caution(UNSURE_ROWS, sentence))
    return found


def why_unknown(rows: pd.DataFrame, *, small: bool) -> str:
    """Say why rows may fit no known class; ``small`` if their cohorts are."""
    if small:
        return "The cohorts are too small to say why."
    called = rows.loc[rows["unknown"] <= Flagged.ALPHA, "label"].astype(str).value_counts()
    if called.iloc[0] <= _MOST * called.sum():
        return "The reference may lack classes."
    return (
        f"{called.iloc[0]} of them are called {called.index[0]!r}: the reference may lack a class "
        "that is near it, or the class itself may look different here."
    )
