"""The tasks of the graph: each reads one shard of rows and writes its own chunk of each array.

A task that is repeated, because its worker died, writes the same values to the same place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import torch
import zarr

from domainvi import _keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import (
    GeneAlignment,
    check_expression,
    count_empty_rows,
    in_memory,
    matrix_digest,
)
from domainvi.errors import InputError
from domainvi.linear import class_sums
from domainvi.model._annotate import Columns, Options, fill_columns
from domainvi.model._inference import (
    RowOutputs,
    embedded_rows,
    gathered,
    n_centred,
    unadapted,
)
from domainvi.model._setup import check_query_scale
from domainvi.module import ScalingStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from domainvi.model._domainvi import DomainVI
    from domainvi.trust import UnknownScorer

    Sums = dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]

# What stands in the folder of unfinished work.
MODEL, GENES, WORK, RESULT = "model", "genes.json", "work.zarr", "annotated.zarr"
# What is kept of the answer for a row between the two passes.
KEPT = ("mean", "logits", "phenotype_network", "phenotype_linear")
# Entries of ``done``: the rows were read, and their results were written.
READ, WRITTEN = 0, 1


class Key(NamedTuple):
    """What a task is told besides the number of its shard.

    Parameters
    ----------
    folder
        Folder of the unfinished work, which all workers see.
    token
        Drawn when the folder was made, so that a later one of the same name is another.
    """

    folder: str
    token: str


@dataclass(frozen=True)
class Place:
    """The folder of unfinished work, opened once in each process.

    Parameters
    ----------
    model
        The model, without data.
    options
        What is written of each row.
    genes
        Names of the genes as they stand in the matrix.
    work, result
        Arrays of the work and of the store that is written, by their paths.
    """

    model: DomainVI
    options: Options
    genes: list[str]
    work: dict[str, Any]
    result: dict[str, Any]

    def rows(self, number: int) -> slice:
        """Rows of a shard."""
        (n,), (size,) = self.work["domain"].shape, self.work["domain"].chunks
        return slice(number * size, min((number + 1) * size, n))

    def statistics(self, present: NDArray[np.int64]) -> dict[str, ScalingStatistics] | None:
        """Centre and scale of the domains that are present; ``None`` where the model's serve."""
        if "network" not in self.work:
            return None
        network, linear = (
            torch.from_numpy(of_domains(self.work[name], present)) for name in ("network", "linear")
        )
        members = linear.permute(1, 2, 0, 3)
        (name,) = self.model.module.modalities.parts
        return {name: ScalingStatistics((network[:, 0], network[:, 1]), (members[0], members[1]))}


@lru_cache(maxsize=1)
def place_at(key: Key) -> Place:
    """Open a folder, and load its model into this process."""
    from domainvi.model._domainvi import DomainVI

    folder = Path(key.folder)
    if not folder.is_dir():
        msg = (
            f"{folder} is not there on {gethostname()}. Write to a path that all workers see under "
            "one name, such as one on a shared file system."
        )
        raise InputError(msg)
    model = DomainVI.load(folder / MODEL, adata=False)
    model.module.eval()
    work: Any = zarr.open_group(folder / WORK, mode="r+", use_consolidated=False)
    result: Any = zarr.open_group(folder / RESULT, mode="r+", use_consolidated=False)
    members = dict(result.members(max_depth=None))
    return Place(
        model,
        Options(**work.attrs["options"]),
        json.loads((folder / GENES).read_text("utf-8")),
        dict(work.arrays()),
        {name: array for name, array in members.items() if isinstance(array, zarr.Array)},
    )


def of_domains(stored: Any, present: NDArray[np.int64]) -> NDArray[Any]:
    """Read the entries of some domains, the first axis; those of others are zero.

    Pages of zeros that nobody touches take no memory.
    """
    found = np.zeros(stored.shape, dtype=stored.dtype)
    for d in present:
        found[d] = stored[d]
    return found


def kept_parts(model: DomainVI) -> tuple[str, ...]:
    """Parts of the answer that are kept; without auxiliary phenotypes there are no scores."""
    return KEPT if model.phenotypes else KEPT[:2]


def scorers(model: DomainVI) -> dict[str, UnknownScorer]:
    """Unknown scores of a model of one modality, by phenotype."""
    main = model.fitted.unknown.get(0)
    key = model.registry_[SETUP_ARGS_KEY]["labels_key"]
    return ({} if main is None else {key: main}) | model.fitted.phenotype_unknown


@torch.inference_mode()
def read_shard(block: Any, number: int, key: Key) -> int:
    """Check the values of a shard, run the model on it, and keep what it says."""
    place = place_at(key)
    work, model, rows = place.work, place.model, place.rows(number)
    if work["done"][READ, number]:
        return number
    x = in_memory(block)
    check_block(place, x, rows)
    work["digest"][number] = int(matrix_digest(x), 16)
    if "source" in work:
        x = GeneAlignment(work["source"][:], len(place.genes)).take(x)
    domain = work["domain"][rows]
    factors = work["factors"][rows] if "factors" in work else None
    statistics, wanted = place.statistics(np.unique(domain)), ("reference",)
    every = np.arange(x.shape[0])
    parts = embedded_rows(model, x, every, domain, factors, statistics, None, wanted)
    out = gathered(model, parts, np.zeros_like(every), wanted)
    for name in kept_parts(model):
        work[name][rows] = getattr(out, name)
    for i, scorer in enumerate(scorers(model).values()):
        work["score"][rows, i] = scorer.score(unadapted(model, out, 0))
    work["n_empty"][number] = count_empty_rows(x)
    work["done"][READ, number] = 1
    return number


def check_shard(block: Any, number: int, key: Key) -> None:
    """Refuse to go on with other values than those that were read of a shard."""
    place = place_at(key)
    now, then = int(matrix_digest(in_memory(block)), 16), int(place.work["digest"][number])
    if now != then:
        rows = place.rows(number)
        msg = (
            f"{key.folder} is unfinished work on other expression values: rows {rows.start} to "
            f"{rows.stop - 1} have the checksum {now:016x}, and had {then:016x}. Remove the folder "
            "to begin anew, or choose another path."
        )
        raise InputError(msg)


def check_block(place: Place, x: Any, rows: slice) -> None:
    """Refuse values that are no expression values, or on another scale than those of training."""
    numbers = pd.RangeIndex(rows.start, rows.stop).astype(str)
    table = ad.AnnData(x, obs=pd.DataFrame(index=numbers), var=pd.DataFrame(index=place.genes))
    check_expression(table, None)
    check_query_scale(place.model, x)


def sum_shard(number: int, key: Key) -> Sums:
    """Count and sum the latents of each class, in cohorts that the centring does not know."""
    place = place_at(key)
    rows = place.rows(number)
    domain, mean, logits = (place.work[name][rows] for name in ("domain", "mean", "logits"))
    new = np.unique(domain[domain >= n_centred(place.model)])
    return {int(d): class_sums(mean[domain == d], logits[domain == d]) for d in new}


def add_up(parts: Iterable[Sums]) -> Sums:
    """Add up what :func:`sum_shard` found in several shards."""
    found: Sums = {}
    for part in parts:
        for d, (count, total) in part.items():
            before = found.get(d, (0, 0.0))
            found[d] = (before[0] + count, before[1] + total)
    return found


@torch.inference_mode()
def write_shard(number: int, key: Key) -> int:
    """Turn what was kept of a shard into columns and arrays, and write them."""
    place = place_at(key)
    work, model, rows = place.work, place.model, place.rows(number)
    if work["done"][WRITTEN, number]:
        return number
    domain = work["domain"][rows]
    kept = {name: work[name][rows] for name in kept_parts(model)}
    out = row_outputs(len(domain), **kept)
    if model.fitted.centring is not None:
        centring = replace(
            model.fitted.centring, shift=of_domains(work["shift"], np.unique(domain))
        )
        out = replace(out, latent=centring.apply(out.mean, out.logits, domain))
    columns = all_columns(model, out, domain, p_values(place, rows), place.options)
    for name, values in row_arrays(columns).items():
        place.result[name][rows] = values
    work["n_excluded"][number] = columns.excluded.sum()
    work["done"][WRITTEN, number] = 1
    return number


def all_columns(
    model: DomainVI,
    out: RowOutputs,
    domain: NDArray[np.int64],
    known: dict[str, NDArray[np.float64]],
    options: Options,
) -> Columns:
    """Fill the columns, with the same categories whichever rows these are."""
    columns = fill_columns(model, out, domain, known, options)
    if (tree := model.label_tree) is not None:
        order = model.fitted.order.classes
        names = [tree.names(level, order) for level in range(len(tree.levels))]
        # Rows that are sure of nothing finer have a name of a coarser level.
        names[-1] += sorted(set().union(*names) - set(names[-1]))
        for level, own in zip(tree.levels, names, strict=True):
            if options.unknown_alpha is not None:
                own.append(model.registry_[SETUP_ARGS_KEY]["unlabeled_category"])
            key = _keys.prediction(level)
            columns.obs[key] = columns.obs[key].set_categories(own)
    return columns


def row_arrays(columns: Columns) -> dict[str, NDArray[Any]]:
    """Arrays with one entry a row, by their place in a store."""
    found: dict[str, NDArray[Any]] = {f"obsm/{k}": v for k, v in columns.obsm.items()}
    for name, values in columns.obs.items():
        if isinstance(values, pd.Categorical):
            found[f"obs/{name}/codes"] = values.codes
        else:
            found[f"obs/{name}"] = np.asarray(values)
    return found


def row_outputs(n_rows: int, **kept: NDArray[np.float32]) -> RowOutputs:
    """Make outputs of rows of the parts that are kept; the latents are not centred."""
    nothing = np.empty((n_rows, 0), dtype=np.float32)
    parts: dict[str, Any] = dict.fromkeys((f.name for f in fields(RowOutputs)), nothing) | kept
    return RowOutputs(
        **parts | {"latent": parts["mean"], "pattern": np.zeros(n_rows, dtype=np.int64)}
    )


def p_values(place: Place, rows: slice) -> dict[str, NDArray[np.float64]]:
    """P-values of rows by phenotype, from scores that are shifted by their whole cohort."""
    work, found = place.work, scorers(place.model)
    key = place.model.registry_[SETUP_ARGS_KEY]["labels_key"]
    domain = work["domain"][rows]
    known = {key: np.full(len(domain), np.nan)}
    if found:
        score = work["score"][rows] - work["offset"][:][domain]
        known |= {name: s.rank(score[:, i]) for i, (name, s) in enumerate(found.items())}
    return known
