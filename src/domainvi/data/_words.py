"""Names as people type them: blanks around them, and words that say that there is none."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

# As they read without brackets, in lower case, with blanks for dots, hyphens and underscores.
_WORDS = """
    nan | na | n a | n/a | #n/a | none | null | nil | missing | ? | ?? | ???
    unassigned | not assigned | unlabeled | unlabelled | not labeled | not labelled
    unannotated | not annotated | unclassified | tbd | unknown | unk | not known
    not available | unavailable | not applicable | not reported | not evaluated
    not classified | no label | nolabel | no labels | no call | to be determined | n d
    unknown type | unknown cell | unknown cells | unknown cell type | unassigned cell
    unassigned cells | unlabeled cells | unlabelled cells
    unbekannt | nicht bekannt | nicht bestimmt | keine angabe | k a | inconnu | inconnue
    non connu | non classé | non classée | non déterminé | non renseigné | desconocido
    desconocida | no disponible | sin datos | sin clasificar | sconosciuto | sconosciuta
    non noto | desconhecido | onbekend | okänd | ukjent | ukendt | tuntematon | nieznany
    neznámý | bilinmiyor | неизвестно | неизвестный | 未知 | 不明 | 未分类 | 未標記 | 알 수 없음
    not determined | undetermined | indeterminate | not specified | unspecified
    not recorded | not collected | not provided
"""
MISSING_WORDS = frozenset(word.strip() for word in re.split(r"[|\n]", _WORDS))
# Marks that are not seen, and that str.strip leaves.
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"
_EDGES = "[](){}<>'\""
_N_EXAMPLES = 5


def bare_name(name: str) -> str:
    """Strip blanks from a name, also those of no width.

    Examples
    --------
    >>> bare_name(" KIRC" + chr(0x200B))
    'KIRC'
    """
    return name.strip().strip(_UNSEEN).strip()


def is_missing_word(name: Any) -> bool:
    """Whether a name says that there is none, such as ``"[Not Available]"``.

    Examples
    --------
    >>> [is_missing_word(name) for name in ("[Not Available]", "n.a.", "-", "KIRC")]
    [True, True, True, False]
    """
    if not isinstance(name, str):
        return False
    plain = re.sub(r"[\s._-]+", " ", bare_name(name).strip(_EDGES).casefold()).strip()
    return plain in MISSING_WORDS


def clean_names(column: pd.Series, *, missing: bool = True) -> pd.Series:
    """Strip text and, with ``missing``, take words for missing values as missing.

    ``"-"`` is a name beside ``"+"``. A column in which nothing changes is returned as it is.

    Examples
    --------
    >>> clean_names(pd.Series(["KIRC ", "unassigned"])).isna().tolist()
    [False, True]
    """
    try:
        names = [name for name in column.dropna().unique() if isinstance(name, str)]
    except TypeError:  # values that cannot be compared; refused where levels are counted
        return column
    signs = {"-"} if "+" in {bare_name(name) for name in names} else set()
    changed: dict[str, Any] = {n: bare_name(n) for n in names if n != bare_name(n)}
    if missing:
        gone = {n: None for n in names if bare_name(n) not in signs and is_missing_word(n)}
        changed |= gone
    if not changed:
        return column
    values = column.astype(object).map(lambda v: changed.get(v, v), na_action="ignore")
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return values
    kept = [changed.get(name, name) for name in column.cat.categories]
    kept = list(dict.fromkeys(name for name in kept if name is not None))
    return values.astype(pd.CategoricalDtype(kept, ordered=bool(column.cat.ordered)))


def name_remarks(column: pd.Series, key: str, unlabeled: str, *, missing: bool) -> list[str]:
    """Say once, with counts, what is read otherwise than it is written, or looks doubled."""
    counts = column.value_counts()
    counts = counts[counts > 0]
    names = {n: int(c) for n, c in counts.items() if isinstance(n, str)}
    signs = {"-"} if "+" in {bare_name(n) for n in names} else set()
    words = [n for n in names if is_missing_word(n) and bare_name(n) not in {*signs, unlabeled}]
    blank = [n for n in names if n != bare_name(n) and n not in words]
    found = []
    if words:
        listed = _counted(names, words)
        how = (
            f"They are read as missing, as is {unlabeled!r}; rename them if they are classes."
            if missing
            else "Each is one level of its own; name these rows, or leave them out."
        )
        what = "classes that look like missing labels" if missing else "names that look missing"
        found.append(f"obs[{key!r}] has {what}: {listed}. {how}")
    if blank:
        found.append(
            f"obs[{key!r}] has names with blanks around them, which are read without: "
            f"{_counted(names, blank)}."
        )
    if alike := _alike({bare_name(name) for name in names} - set(words)):
        found.append(
            f"obs[{key!r}] has names that differ in form only and stay apart: {alike}. Rename "
            "them if they mean the same."
        )
    return found


def _counted(counts: dict[str, int], names: Iterable[str]) -> str:
    names = list(names)
    text = ", ".join(f"{name!r} ({counts[name]} rows)" for name in names[:_N_EXAMPLES])
    more = len(names) - _N_EXAMPLES
    return text + (f" and {more} more" if more > 0 else "")


def _alike(names: Iterable[str]) -> str:
    """Group names that are one but for case, blanks, signs, accents' codes or a number's form."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        folded = re.sub(r"[\s._-]+", " ", unicodedata.normalize("NFKC", bare_name(name)).casefold())
        folded = re.sub(r"^(\d+) 0+$", r"\1", folded)
        groups.setdefault(folded, []).append(name)
    several = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    return "; ".join(several[:_N_EXAMPLES])
