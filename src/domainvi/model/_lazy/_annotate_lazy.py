"""Annotation of rows that never are in memory together: plan, passes over the shards, result.

What of a cohort depends on all of its rows is computed between the passes: its scaling before the
first, its centring and the level of its unknown scores between the first and the second. So the
results do not depend on the shards.
"""

from __future__ import annotations

import hashlib
import json
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
from domainvi._checks import check_positive, check_share
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import POOL_ROWS, POOL_VALUES, array_digest, select_matrix
from domainvi.errors import InputError
from domainvi.model._annotate import Options, add_verdict, say
from domainvi.model._diagnosis import summarise
from domainvi.model._inference import n_centred, scaling_statistics
from domainvi.model._setup import check_data, columns_of, prepare_query, refuse_several
from domainvi.module import heads_of

from ._shards import (
    GENES,
    KEPT,
    MODEL,
    READ,
    RESULT,
    WORK,
    WRITTEN,
    Key,
    Place,
    add_up,
    all_columns,
    p_values,
    place_at,
    read_shard,
    row_arrays,
    row_outputs,
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
    model._check_trained()
    refuse_several(model, "annotate_lazy")
    check_share("unknown_alpha", unknown_alpha)
    check_share("level_confidence", level_confidence)
    check_positive(min_genes=min_genes, n_rows=n_rows)
    chosen = [p.key for p in model.phenotypes] if targets is None else list(targets)
    for key in chosen:
        heads_of(model.module).index(key)
    named = None if classes is None else [classes] if isinstance(classes, str) else list(classes)
    options = Options(unknown_alpha, chosen, named, level_confidence)
    path = Path(path).absolute()
    if path.exists():
        msg = f"{path} exists already. Remove it, or choose another path."
        raise InputError(msg)
    lean = without_other_columns(model, adata)
    prepared = prepare_query(model, lean, min_genes, lazy=True)
    matrix = select_matrix(lean, columns_of(model.registry_[SETUP_ARGS_KEY]).layer)
    size = n_rows or min(POOL_ROWS, max(256, POOL_VALUES // max(matrix.shape[1], 1)))
    folder = path.with_name(f"{path.name}.unfinished")
    begin(model, lean, prepared, options, min(size, prepared.n_obs), folder)
    work = zarr.open_group(folder / WORK, mode="r+", use_consolidated=False)
    key = Key(str(folder), work.attrs["token"])
    run_passes(matrix, prepared.domain, key)
    prepared.scaling_notes.update(work.attrs["notes"])
    finish(model, prepared, key, path)


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


def begin(
    model: DomainVI,
    adata: AnnData,
    prepared: PreparedAnnData,
    options: Options,
    size: int,
    folder: Path,
) -> None:
    """Write down everything that the tasks need, unless an earlier call for the same has."""
    plan = {
        "rows": digest(adata.obs_names),
        "genes": digest(adata.var_names),
        "cohorts": array_digest(prepared.domain),
        "weights": digest(v.cpu().numpy().tobytes() for v in model.module.state_dict().values()),
        "options": options._asdict(),
        "rows of a shard": size,
    }
    if is_begun(folder, plan):
        return
    folder.mkdir(parents=True)
    model.save(folder / MODEL)
    (folder / GENES).write_text(json.dumps(adata.var_names.astype(str).tolist()), "utf-8")
    work = zarr.open_group(folder / WORK, mode="w")
    n, n_shards = prepared.n_obs, -(-prepared.n_obs // size)
    store(work, "domain", prepared.domain, size)
    if (factors := prepared.size_factors(np.arange(n))) is not None:
        store(work, "factors", factors, size)
    if prepared.on_disk is not None and prepared.on_disk.alignment is not None:
        store(work, "source", prepared.on_disk.alignment.source)
    if (statistics := scaling_statistics(model, prepared)) is not None:
        (own,) = statistics.values()
        store(work, "network", np.stack([v.cpu().numpy() for v in own.network], axis=1), 1)
        members = np.stack([v.cpu().numpy() for v in own.linear])
        store(work, "linear", members.transpose(2, 0, 1, 3), 1)
    n_scores = sum(p.n_outputs for p in model.phenotypes)
    widths = (model.module.n_latent, model.module.n_classes, n_scores, n_scores)
    for name, width in zip(KEPT, widths, strict=True):
        if width:
            empty(work, name, (n, width), size, "float32")
    empty(work, "score", (n, len(scorers(model))), size, "float64")
    work.create_array("done", shape=(2, n_shards), chunks=(1, 1), dtype="uint8")
    work.create_array("n_empty", shape=(n_shards,), chunks=(1,), dtype="int64")
    work.create_array("between", shape=(1,), chunks=(1,), dtype="uint8")
    n_domains = int(prepared.domain.max()) + 1
    empty(work, "offset", (n_domains, len(scorers(model))), n_domains, "float64")
    if (centring := model.fitted.centring) is not None:
        n_domains = max(n_domains, len(centring.shift))
        empty(work, "shift", (n_domains, *centring.shift.shape[1:]), 1, "float64")
    make_result(model, prepared, options, size, folder / RESULT)
    work.attrs.update(
        {
            "options": options._asdict(),
            "notes": prepared.scaling_notes,
            "token": os.urandom(8).hex(),
        }
    )
    # The last step: without it, nothing here counts.
    work.attrs["plan"] = plan


def is_begun(folder: Path, plan: dict[str, Any]) -> bool:
    """Whether the work of a plan is there to be finished; that of another is refused."""
    try:
        found = dict(zarr.open_group(folder / WORK, mode="r").attrs).get("plan")
    except FileNotFoundError:
        found = None
    if found is None:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    if differ := [name for name in plan if found.get(name) != plan[name]]:
        msg = (
            f"{folder} is unfinished work of another call: it differs in {', '.join(differ)}. "
            "Remove it, repeat that call to finish it, or choose another path."
        )
        raise InputError(msg)
    return True


def digest(parts: Any) -> str:
    """Fingerprint of texts or bytes, one after the other."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(part if isinstance(part, bytes) else f"{part}\0".encode())
    return found.hexdigest()


def empty(group: zarr.Group, name: str, shape: tuple[int, ...], size: int, dtype: str) -> None:
    """Create an array of rows whose chunks are those of the shards."""
    if all(shape):
        group.create_array(name, shape=shape, chunks=(size, *shape[1:]), dtype=dtype)


def store(group: zarr.Group, name: str, values: NDArray[Any], size: int | None = None) -> None:
    """Write an array, ``size`` entries of the first axis in a chunk."""
    chunks = (size or len(values), *values.shape[1:])
    array = group.create_array(
        name, shape=values.shape, chunks=chunks, dtype=values.dtype, overwrite=True
    )
    array[:] = values


def make_result(
    model: DomainVI, prepared: PreparedAnnData, options: Options, size: int, path: Path
) -> None:
    """Write an AnnData with the columns of the results, and no row of them yet."""
    widths = {n: sum(p.n_outputs for p in model.phenotypes) for n in KEPT[2:]}
    widths |= {"mean": model.module.n_latent, "logits": model.module.n_classes}
    zeros = {name: np.zeros((1, width), dtype=np.float32) for name, width in widths.items()}
    known = {model.registry_[SETUP_ARGS_KEY]["labels_key"]: np.ones(1)}
    columns = all_columns(model, row_outputs(1, **zeros), np.zeros(1, np.int64), known, options)
    one = ad.AnnData(
        obs=pd.DataFrame(columns.obs, index=["row"]), obsm=columns.obsm, uns=columns.uns
    )
    one.write_zarr(path)
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    index = group["obs"].attrs["_index"]
    ad.io.write_elem(group["obs"], index, prepared.obs_names.to_numpy(dtype=object))
    for name in row_arrays(columns):
        lengthen(group, name, prepared.n_obs, size)


def lengthen(group: zarr.Group, name: str, n_rows: int, size: int) -> None:
    """Replace an array of one row by one of as many rows as there are, with the same attributes."""
    one = group[name]
    group.create_array(
        name,
        shape=(n_rows, *one.shape[1:]),
        chunks=(size, *one.shape[1:]),
        dtype=one.dtype,
        attributes=dict(one.attrs),
        overwrite=True,
    )


def run_passes(matrix: Any, domain: NDArray[np.int64], key: Key) -> None:
    """Run the tasks that an earlier call has not, with what whole cohorts say in between."""
    from dask import compute, delayed

    work = place_at(key).work
    pending = np.flatnonzero(work["done"][READ] == 0)
    if len(pending):
        blocks = matrix.rechunk({0: work["domain"].chunks[0], 1: -1}).to_delayed().ravel()
        read = delayed(read_shard, pure=False)
        compute(*[read(blocks[i], int(i), key) for i in pending])
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
    group = zarr.open_group(result, mode="r+", use_consolidated=False)
    main = model.registry_[SETUP_ARGS_KEY]["labels_key"]
    summary = summarise(model, prepared, int(place.work["n_empty"][:].sum()))
    known = p_values(place, slice(0, prepared.n_obs))[main]
    confidence = place.result[f"obs/{_keys.confidence(main)}"][:]
    about = np.ones(prepared.n_obs, dtype=bool)
    add_verdict(summary, model, prepared, confidence, known, about, place.options.classes)
    names = {*group["obs"].attrs["column-order"], *group["obsm"]}
    summary[_keys.COLUMNS] = np.array(sorted(names), dtype=object)
    ad.io.write_elem(group["uns"], _keys.RESULTS, summary)
    say(summary, prepared.n_obs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that zarr 3 has no standard for it
        zarr.consolidate_metadata(result)
    result.rename(path)
    shutil.rmtree(key.folder)
