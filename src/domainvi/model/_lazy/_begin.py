"""The folder of unfinished work: all that the tasks need, and a store with room for the results."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from pandas.util import hash_pandas_object

from domainvi._compat import SETUP_ARGS_KEY
from domainvi.errors import InputError
from domainvi.model._inference import scaling_statistics

from ._shards import GENES, KEPT, MODEL, RESULT, WORK, all_columns, row_arrays, row_outputs, scorers

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData
    from domainvi.model._annotate import Options
    from domainvi.model._domainvi import DomainVI


OWN = {MODEL, GENES, WORK, RESULT}


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
        "columns of obs": digest(
            hash_pandas_object(column, index=False).to_numpy().tobytes()
            for _, column in adata.obs.items()
        ),
        "weights": digest(v.cpu().numpy().tobytes() for v in model.module.state_dict().values()),
        "options": options._asdict(),
        "rows of a shard": size,
    }
    if is_begun(folder, plan):
        return
    folder.mkdir(parents=True)
    model.save(folder / MODEL)
    (folder / GENES).write_text(json.dumps(adata.var_names.astype(str).tolist()), "utf-8")
    work: Any = zarr.open_group(folder / WORK, mode="w")
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
    work.create_array("digest", shape=(n_shards,), chunks=(1,), dtype="uint64")
    for name in ("n_empty", "n_excluded"):
        work.create_array(name, shape=(n_shards,), chunks=(1,), dtype="int64")
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
    there = {p.name for p in folder.iterdir()} if folder.exists() else set()
    found: Any = None
    # Without all parts, it is what is left of work that was finished, or not begun.
    if there >= OWN:
        found = zarr.open_group(folder / WORK, mode="r").attrs.get("plan")
    if found is None:
        if not there <= OWN:
            msg = f"{folder} is no unfinished work. Rename it, or choose another path."
            raise InputError(msg)
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


def empty(group: Any, name: str, shape: tuple[int, ...], size: int, dtype: str) -> None:
    """Create an array of rows whose chunks are those of the shards."""
    if all(shape):
        group.create_array(name, shape=shape, chunks=(size, *shape[1:]), dtype=dtype)


def store(group: Any, name: str, values: NDArray[Any], size: int | None = None) -> None:
    """Write an array, ``size`` entries of the first axis in a chunk."""
    chunks = (size or len(values), *values.shape[1:])
    group.create_array(name, shape=values.shape, chunks=chunks, dtype=values.dtype)[:] = values


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that another format of zarr will be the default
        one.write_zarr(path)
    group: Any = zarr.open_group(path, mode="r+", use_consolidated=False)
    index = group["obs"].attrs["_index"]
    ad.io.write_elem(group["obs"], index, prepared.obs_names.to_numpy(dtype=object))
    for name in row_arrays(columns):
        lengthen(group, name, prepared.n_obs, size)


def lengthen(group: Any, name: str, n_rows: int, size: int) -> None:
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
