"""Find what DomainVI wrote into an object before, replace it, and keep off the user's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from domainvi import _keys
from domainvi.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray


logger = logging.getLogger(__name__)


def _earlier(target: AnnData | MuData) -> set[str]:
    """Names that DomainVI has written to an object before."""
    found = target.uns.get(_keys.RESULTS)
    return set(map(str, found.get(_keys.COLUMNS, ()))) if isinstance(found, Mapping) else set()


def replace_earlier(
    target: AnnData | MuData, new: set[str], inputs: Iterable[str]
) -> NDArray[np.object_]:
    """Drop earlier results of the phenotypes in ``new``; return the names of all that are ours.

    Beside new predictions, the prediction sets, or the coarser names, of another model would be
    taken for theirs.
    """
    earlier, old = _earlier(target), set(new)
    levels = list(target.uns[_keys.RESULTS].get(_keys.LEVELS, ())) if earlier else []
    if levels and _keys.prediction(levels[-1]) in new:
        old.update(map(_keys.prediction, levels))
    gone = (earlier & (old | _keys.beside(old))) - new - set(inputs)
    for results in (target.obs, target.obsm):
        for name in gone.intersection(results.keys()):
            logger.info("Result of an earlier model, removed: %s.", name)
            del results[name]
    for name in gone:
        target.uns.pop(_keys.colors(name), None)
    return np.array(sorted((earlier - gone) | new), dtype=object)


def check_free(
    target: AnnData | MuData, names: Mapping[str, Iterable[str]], inputs: Iterable[str] = ()
) -> None:
    """Refuse to write over what the user has; earlier results of DomainVI are no such thing.

    Parameters
    ----------
    names
        What is to be written to ``obs`` and ``obsm``; ``uns["domainvi"]`` is looked at anyhow.
    inputs
        Columns that the model reads, which are never results to be replaced.
    """
    if _keys.RESULTS in target.uns and not _earlier(target):
        names = {**names, "uns": [_keys.RESULTS]}
    earlier = _earlier(target) - set(inputs)
    for where, wanted in names.items():
        there = [n for n in wanted if n in getattr(target, where) and n not in earlier]
        if there:
            msg = (
                f"{where} has {', '.join(map(repr, there))} already, and DomainVI did not write "
                "it as a result. Rename it, or replace it with overwrite=True "
                "(--overwrite-columns on the command line)."
            )
            raise InputError(msg)
