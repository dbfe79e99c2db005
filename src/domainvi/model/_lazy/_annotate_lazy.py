"""Annotation of rows that never are in memory together: plan, passes over the shards, result.

What of a cohort depends on all of its rows is computed between the passes: its scaling before the
first, its centring and the level of its unknown scores between the first and the second. So the
results do not depend on the shards.
"""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr

from domainvi import _keys
from domainvi._checks import check_positive
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import POOL_ROWS, POOL_VALUES, ScalingNote, select_matrix
from domainvi.errors import InputError
from domainvi.model._annotate import checked_options, say
from domainvi.model._diagnosis import add_verdict, summarise
from domainvi.model._inference import n_centred
from domainvi.model._setup import check_data, columns_of, prepare_query, refuse_several

from ._begin import begin
from ._shards import (
    READ,
    RESULT,
    WORK,
    WRITTEN,
    Key,
    Place,
    add_up,
    check_shard,
    p_values,
    place_at,
    read_shard,
    scorers,
    sum_shard,
    write_shard,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.model._domainvi import DomainVI

# Sums of this many shards are added up in one task.
FAN_IN = 32


def annotate_lazy(
    model: DomainVI,
    adata: AnnData,
    path: str | os.PathLike[str],
    n_rows: int | None,
    unknown_alpha: float | None,
    targets: Sequence[str] | None,
    level_confidence: float | None,
    min_genes: int | None,
    classes: Sequence[str] | None,
) -> None:
    """Annotate; see :meth:`domainvi.DomainVI.annotate_lazy`."""
    refuse_several(model, "annotate_lazy")
    options = checked_options(model, unknown_alpha, targets, classes, level_confidence)
    check_positive(min_genes=min_genes, n_rows=n_rows)
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow a dangling link
    folder = path.with_name(f"{path.name}.unfinished")
    check_free(path, folder)
    lean = without_other_columns(model, adata)
    prepared = prepare_query(model, lean, min_genes, lazy=True)
    matrix = select_matrix(lean, columns_of(model.registry_[SETUP_ARGS_KEY]).layer)
    size = n_rows or min(POOL_ROWS, max(256, POOL_VALUES // max(matrix.shape[1], 1)))
    begin(model, lean, prepared, options, min(int(size), prepared.n_obs), folder)
    work: Any = zarr.open_group(folder / WORK, mode="r+", use_consolidated=False)
    key = Key(str(folder), work.attrs["token"])
    run_passes(matrix, prepared.domain, key)
    notes = {cohort: ScalingNote(*note) for cohort, note in work.attrs["notes"].items()}
    prepared.scaling_notes.update(notes)
    finish(model, prepared, key, path)


def check_free(path: Path, folder: Path) -> None:
    """Refuse a path that is taken, also by a link that leads nowhere, or that cannot be made."""
    if os.path.lexists(path):
        msg = f"{path} exists already. Remove it, or choose another path."
        raise InputError(msg)
    for place in (folder, *path.parents):
        if os.path.lexists(place) and not place.is_dir():
            msg = f"{place} is no folder. Remove it, or write to another path than {path}."
            raise InputError(msg)


def without_other_columns(model: DomainVI, adata: AnnData) -> AnnData:
    """Return the rows with a lazy matrix and the columns that the model reads, in memory."""
    check_data(adata)
    setup = columns_of(model.registry_[SETUP_ARGS_KEY])
    matrix = select_matrix(adata, setup.layer)
    if not hasattr(matrix, "to_delayed"):
        msg = (
            f"The expression values are a {type(matrix).__name__}; annotate_lazy reads dask arrays "
            "(pip install 'domainvi[outofcore]'). Open the file with "
            "anndata.experimental.read_lazy, or use annotate."
        )
        raise InputError(msg)
    wanted = [k for k in (*setup.batch_keys, *setup.covariates) if k in adata.obs]
    obs, var = (
        frame.to_memory() if hasattr(frame, "to_memory") else frame
        for frame in (adata.obs[wanted], adata.var)
    )
    layers = {} if setup.layer is None else {setup.layer: matrix}
    return ad.AnnData(
        matrix if setup.layer is None else None,
        obs=pd.DataFrame(obs).set_axis(adata.obs_names),
        var=pd.DataFrame(var).set_axis(adata.var_names),
        layers=layers,
    )


def run_passes(matrix: Any, domain: NDArray[np.int64], key: Key) -> None:
    """Run the tasks that an earlier call has not, with what whole cohorts say in between."""
    from dask import compute, delayed

    work = place_at(key).work
    blocks = matrix.rechunk({0: work["domain"].chunks[0], 1: -1}).to_delayed().ravel()
    done = work["done"][READ] > 0
    check, read = delayed(check_shard, pure=False), delayed(read_shard, pure=False)
    compute(*[check(blocks[i], int(i), key) for i in np.flatnonzero(done)])
    compute(*[read(blocks[i], int(i), key) for i in np.flatnonzero(~done)])
    if not work["between"][0]:
        write_shifts(key, domain)
        write_offsets(place_at(key), domain)
        work["between"][0] = 1
    pending = np.flatnonzero(work["done"][WRITTEN] == 0)
    write = delayed(write_shard, pure=False)
    compute(*[write(int(i), key) for i in pending])


def write_shifts(key: Key, domain: NDArray[np.int64]) -> None:
    """Centre cohorts that were not in training by the sums over all shards."""
    from dask import delayed

    model, work = place_at(key).model, place_at(key).work
    centring, n_known = model.fitted.centring, n_centred(model)
    if centring is None:
        return
    for d in range(n_known):
        work["shift"][d] = centring.shift[d]
    if domain.max() < n_known:
        return
    sum_one, add = delayed(sum_shard, pure=False), delayed(add_up, pure=False)
    parts = [sum_one(i, key) for i in range(work["done"].shape[1])]
    while len(parts) > 1:
        parts = [add(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    for d, sums in parts[0].compute().items():
        work["shift"][d] = centring.shift_by(*sums)


def write_offsets(place: Place, domain: NDArray[np.int64]) -> None:
    """Find by how much the unknown scores of each cohort are shifted, from all of its rows."""
    for i, scorer in enumerate(scorers(place.model).values()):
        by_domain = np.zeros(int(domain.max()) + 1)
        by_domain[domain] = scorer.offset(place.work["score"][:, i], domain)
        place.work["offset"][:, i] = by_domain


def finish(model: DomainVI, prepared: PreparedAnnData, key: Key, path: Path) -> None:
    """Write the verdict on the whole, and give the store its name."""
    place, result = place_at(key), Path(key.folder) / RESULT
    group: Any = zarr.open_group(result, mode="r+", use_consolidated=False)
    main = model.registry_[SETUP_ARGS_KEY]["labels_key"]
    summary = summarise(model, prepared, int(place.work["n_empty"][:].sum()))
    rows = pd.DataFrame(
        {
            "label": ad.io.read_elem(group[f"obs/{_keys.prediction(main)}"]),
            "confidence": place.result[f"obs/{_keys.confidence(main)}"][:],
            "unknown": p_values(place, slice(0, prepared.n_obs))[main],
        }
    )
    n_excluded = int(place.work["n_excluded"][:].sum())
    add_verdict(summary, model, prepared, rows, place.options.classes, n_excluded)
    names = {*group["obs"].attrs["column-order"], *group["obsm"]}
    summary[_keys.COLUMNS] = np.array(sorted(names), dtype=object)
    ad.io.write_elem(group["uns"], _keys.RESULTS, summary)
    say(summary, prepared.n_obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that zarr 3 has no standard for it
        zarr.consolidate_metadata(result)
    result.rename(path)
    place_at.cache_clear()
    shutil.rmtree(key.folder)
