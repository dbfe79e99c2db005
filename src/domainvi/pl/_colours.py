"""Colours that most readers can tell apart, whatever their colour vision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import domainvi._keys as keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

# Okabe and Ito (2008), the eight that are told apart with any colour vision.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
# Yellow and black last: the one is faint on white, the other looks like text.
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, BLACK)
GREY = "#999999"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")


def palette(names: Sequence[str]) -> dict[str, str]:
    """Give each name a colour: Okabe and Ito's for up to eight, scanpy's long lists for more."""
    if len(names) <= len(SERIES):
        return dict(zip(names, SERIES, strict=False))
    from scanpy.plotting import palettes

    long = next(
        (p for p in (palettes.default_20, palettes.default_28) if len(names) <= len(p)),
        palettes.default_102,
    )
    return {name: long[i % len(long)] for i, name in enumerate(names)}


def class_colours(adata: AnnData, key: str, names: Sequence[str]) -> dict[str, str]:
    """Take the colours that the object holds for a column, and those of the palette otherwise."""
    stored = adata.uns.get(keys.colors(key))
    column = adata.obs.get(key)
    if stored is not None and hasattr(column, "cat"):
        known = dict(zip(map(str, column.cat.categories), map(str, stored), strict=False))
        if set(names) <= set(known):
            return {name: known[name] for name in names}
    return palette(names)
