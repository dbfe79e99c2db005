"""A table of classes by domains: the verdict on it, and designs in which one lies in the other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from domainvi._checks import IntArray

Verdict = Literal["alignment allowed", "conditional only", "refused"]

# Cramér's V from which alignment is left to predicted classes, and above which it is refused.
CONDITIONAL_FROM = 0.3
REFUSED_ABOVE = 0.6
# Findings of one kind that are named before the others are only counted.
_SHOWN = 5


def verdict_on(
    association: float, shared: tuple[str, ...], counted: list[str], *, nested: bool
) -> tuple[Verdict, str]:
    """Return the verdict and the sentence that explains it.

    Parameters
    ----------
    association
        Bias-corrected Cramér's V of class and domain.
    shared
        Classes found in two domains or more.
    counted
        Domains with labelled rows.
    nested
        Whether some classes never meet in a domain, or a domain holds one class only.
    """
    if len(counted) == 1:
        return "conditional only", (
            f"Conditional only: {counted[0]!r} alone has labels, so whether class and domain are "
            "confounded cannot be known from them. If the other domains hold other classes, or "
            "other shares of them, aligning whole domains would mix classes up; DomainVI "
            "aligns within classes, and audits again with its predictions."
        )
    value = f"Cramér's V of class and domain is {association:.2f}"
    if len(shared) < 2:
        return "refused", (
            f"Refused: {'one class' if shared else 'no class'} is found in two domains or more, "
            f"and a transfer needs two such classes ({value}). What tells the classes apart cannot "
            "be told from what tells the domains apart."
        )
    if association > REFUSED_ABOVE:
        return "refused", (
            f"Refused: {value}, above {REFUSED_ABOVE}. Making the domains alike would make the "
            "classes alike. Add rows of the rare combinations, or transfer without alignment."
        )
    if association >= CONDITIONAL_FROM or nested:
        limit = f"at or above {CONDITIONAL_FROM}"
        if association < CONDITIONAL_FROM:
            limit = f"below {CONDITIONAL_FROM}, but some classes or domains do not overlap"
        return "conditional only", (
            f"Conditional only: {value}, {limit}. Align within the {len(shared)} shared classes, "
            "not whole domains."
        )
    return "alignment allowed", (
        f"Alignment allowed: {value}, below {CONDITIONAL_FROM}, with {len(shared)} shared classes."
    )


def nested_designs(
    table: IntArray, domains: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """Name what cannot be told apart in a table of classes by domains, one sentence a finding.

    There is none when every two classes meet in a domain and no domain holds a single class.

    Examples
    --------
    >>> nested_designs(np.array([[9, 0], [0, 9]]), ("gtex", "tcga"), ("normal", "tumor"))
    ('every class is found in one domain only: normal in gtex, tumor in tcga',)
    """
    present = table > 0
    used = np.flatnonzero(present.any(axis=1))
    where = {i: [domains[j] for j in np.flatnonzero(present[i])] for i in used}
    if len(used) > 1 and all(len(places) == 1 for places in where.values()):
        alone = [f"{classes[i]} in {places[0]}" for i, places in where.items()]
        return (f"every class is found in one domain only: {_some(alone)}",)
    apart = [
        f"{classes[a]} ({', '.join(where[a])}) and {classes[b]} ({', '.join(where[b])})"
        for a, b in combinations(used, 2)
        if not (present[a] & present[b]).any()
    ]
    lone = [
        f"{domains[j]} ({classes[present[:, j].argmax()]})"
        for j in np.flatnonzero(present.sum(axis=0) == 1)
        if len(used) > 1
    ]
    found = {
        "classes that no domain holds together": apart,
        "domains that hold one class only": lone,
    }
    return tuple(f"{finding}: {_some(items)}" for finding, items in found.items() if items)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
