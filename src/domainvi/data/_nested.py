"""Designs in which a class lives inside a domain, or a domain inside a class."""

from itertools import combinations

import numpy as np
import numpy.typing as npt

_SHOWN = 5


def nested_designs(
    table: npt.NDArray[np.int64], domains: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[str, ...]:
    """Name what cannot be told apart in a table of classes by domains.

    Parameters
    ----------
    table
        Labelled rows, shape (classes, domains).
    domains
        Names of the columns.
    classes
        Names of the rows.

    Returns
    -------
    tuple
        One sentence for each finding; empty when every two classes meet in a domain and no domain
        holds a single class.

    Examples
    --------
    >>> import numpy as np
    >>> nested_designs(np.array([[9, 0], [0, 9]]), ("gtex", "tcga"), ("normal", "tumor"))
    ('every class is found in one domain only: normal in gtex, tumor in tcga',)
    """
    present = table > 0
    used = np.flatnonzero(present.any(axis=1))
    where = {i: np.flatnonzero(present[i]) for i in used}
    if len(used) > 1 and all(len(w) == 1 for w in where.values()):
        places = [f"{classes[i]} in {domains[w[0]]}" for i, w in where.items()]
        return (f"every class is found in one domain only: {_some(places)}",)
    out = []
    apart = [
        f"{classes[a]} ({', '.join(domains[i] for i in where[a])}) and "
        f"{classes[b]} ({', '.join(domains[i] for i in where[b])})"
        for a, b in combinations(used, 2)
        if not (present[a] & present[b]).any()
    ]
    if apart:
        out.append(f"classes that no domain holds together: {_some(apart)}")
    lone = [
        f"{domains[j]} ({classes[present[:, j].argmax()]})"
        for j in np.flatnonzero(present.sum(axis=0) == 1)
    ]
    if len(used) > 1 and lone:
        out.append(f"domains that hold one class only: {_some(lone)}")
    return tuple(out)


def _some(items: list[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
