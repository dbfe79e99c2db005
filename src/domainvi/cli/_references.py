"""Read one reference or several, and say what they have in common."""

from __future__ import annotations

import csv
import warnings
from typing import TYPE_CHECKING

from domainvi.errors import InputError

from ._files import check_inputs, naming, read
from ._fit import columns_of, named
from ._results import note

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData

    from ._options import Training
    from ._results import Results


def check_references(paths: Sequence[Path], options: Training, query: Path | None = None) -> None:
    """Refuse files that are not there or stand twice, and columns that they lack, in a moment."""
    if not paths:
        msg = "There is no file to read. Pass one, or several."
        raise InputError(msg)
    others = [path for path in (query, options.label_map) if path is not None]
    columns = columns_of(options) if len(paths) == 1 else {}
    if query is not None:
        columns.pop("batch_key", None)  # without it, a file is one cohort
    check_inputs(*paths, *others, columns=columns)
    files = [*paths, *others]
    for i, path in enumerate(files):
        if same := [earlier for earlier in files[:i] if path.samefile(earlier)]:
            msg = f"{path} stands twice among the files ({same[0]}). Name each file once."
            raise InputError(msg)
    if options.batch is None and options.domain in (*options.levels, *(options.targets or ())):
        msg = f"obs[{options.domain!r}] is to be predicted. Name the column of cohorts by --batch."
        raise InputError(msg)
    if len(options.labels) not in (1, len(paths)):
        msg = (
            f"--labels stands {len(options.labels)} times for {len(paths)} references. Give it "
            "once for all, or once for each, in order."
        )
        raise InputError(msg)
    # Beside files with the column, one without it is unlabelled, unless it is a reference.
    each = query is not None or len(options.labels) == len(paths)
    if len(paths) > 1 and each and not options.coarse_labels:
        for path, key in zip(paths, options.labels * len(paths), strict=False):
            check_inputs(path, columns={"labels_key": [key]})


def read_references(
    paths: Sequence[Path], options: Training, say: Results, *, has_query: bool = False
) -> AnnData:
    """Read one reference as it is, or several as one object, and say what they share.

    With a query, each needs labels.
    """
    from domainvi.data import label_columns

    names, labels = _names(paths), label_columns(options.labels, len(paths))
    parts = {
        name: read(path, options.modality, [key, *named(options)])
        for (path, name), key in zip(names.items(), labels, strict=True)
    }
    name, adata = next(iter(parts.items()))
    if len(parts) == 1 and has_query and options.batch not in {None, *adata.obs}:
        note(f"{name} has no column {options.batch!r}: all of its rows are of one cohort, {name!r}")
        adata.obs[options.batch] = name
    if len(parts) > 1 or options.batch is None or options.label_map is not None:
        adata = _join(parts, names, options, say, has_query)
    return adata


def _join(
    parts: dict[str, AnnData],
    names: dict[Path, str],
    options: Training,
    say: Results,
    has_query: bool,
) -> AnnData:
    from domainvi.data import join_references, label_columns

    each = has_query or len(options.labels) > 1
    with naming(*names):
        joined = join_references(
            parts,
            labels_key=label_columns(options.labels, len(parts)) if each else options.label,
            batch_key=options.batch,
            coarse_keys=options.coarse_labels or (),
            columns=options.targets or (),
            label_map=_label_map(options.label_map, names),
            layer=options.layer,
            min_genes=options.min_genes,
        )
    if options.layer is not None:
        joined.layers[options.layer] = joined.X
    _describe(say, parts, joined, options)
    return joined


def names_for_all(paths: Sequence[Path], options: Training) -> dict[str, str]:
    """Return the common names of labels, but for those of one file only."""
    from domainvi.data import common_names

    names = _names(paths)
    return common_names(_label_map(options.label_map, names), ["", *names.values()])[""]


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """Name each file as it is called without its ending, and apart from the others."""
    found: dict[Path, str] = {}
    for path in paths:
        name, number = path.stem, 1
        while name in found.values():
            number += 1
            name = f"{path.stem} ({number})"
        found[path] = name
    return found


def _label_map(path: Path | None, names: dict[Path, str]) -> pd.DataFrame | None:
    """Read the common names of the labels; files may be named with their ending."""
    if path is None:
        return None
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Without an index, or a last separator would make one of the first column.
            table = pd.read_csv(
                file, sep=None, engine="python", dtype=str, keep_default_na=False, index_col=False
            )
    except pd.errors.ParserWarning as error:
        msg = (
            f"{path} has lines with more fields than its first line. Put names that hold a "
            "separator in quotes."
        )
        raise InputError(msg) from error
    except (ValueError, csv.Error) as error:
        msg = (
            f"{path} cannot be read as csv ({error}). Save it as text with columns label and name."
        )
        raise InputError(msg) from error
    for given in table["reference"].dropna().unique() if "reference" in table else ():
        own = [p for p, name in names.items() if given in (str(p), p.name, p.stem, name)]
        if len(own) > 1:
            msg = (
                f"{path}: reference {given!r} is the name of {len(own)} files, "
                f"{', '.join(map(str, own))}. Put their paths as they are given."
            )
            raise InputError(msg)
        if own:
            table["reference"] = table["reference"].replace(given, names[own[0]])
    return table


def _describe(say: Results, parts: dict[str, AnnData], joined: AnnData, options: Training) -> None:
    """Say how many rows, genes and classes each reference has, and what all of them have."""
    import numpy as np

    from domainvi.data import clean_names, is_labelled

    of_part = np.repeat(list(parts), [part.n_obs for part in parts.values()])

    def classes_of(name: str, *keys: str) -> set[str]:
        columns = [joined.obs[key][of_part == name] for key in keys]
        labelled = [c[is_labelled(c, options.unlabeled)] for c in columns]
        return {str(label) for column in labelled for label in clean_names(column)}

    classes = {name: classes_of(name, options.label) for name in parts}
    for name, part in parts.items():
        facts = {"rows": part.n_obs, "genes": part.n_vars, "classes": sorted(classes[name])}
        n_classes = f"{len(classes[name])}"
        if options.coarse_labels:
            facts["coarse_classes"] = sorted(classes_of(name, *options.coarse_labels))
            n_classes += f" fine, {len(facts['coarse_classes'])} coarse"
        say(
            f"reference {name}: {part.n_obs} rows, {part.n_vars} genes, {n_classes} classes",
            references={name: facts},
        )
    if len(parts) > 1:
        n = joined.n_vars
        say(f"genes: {n} are in all {len(parts)} references, and are used; the others are left out")
        own = {
            name: found - set().union(*(c for other, c in classes.items() if other != name))
            for name, found in classes.items()
        }
        shared = set().union(*classes.values()) - set().union(*own.values())
        alone = "; ".join(
            f"in {name} only: {', '.join(sorted(found))}" for name, found in own.items() if found
        )
        if sum(map(bool, own.values())) > 1:
            alone += ". The same class under two names is joined with --label-map"
        say(f"classes: {len(shared)} in several references; {alone or 'none in one only'}")
