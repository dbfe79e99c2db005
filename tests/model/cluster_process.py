"""Annotate a store on two workers, of which one is killed half-way; run as a script."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread

import anndata as ad
import dask.array as da
import zarr
from distributed import Client, LocalCluster

import domainvi as dv

N_ROWS = 25


def main(folder: Path) -> None:
    model = dv.DomainVI.load(folder / "model")
    group = zarr.open_group(folder / "query.zarr", mode="r")
    query = ad.AnnData(
        ad.experimental.read_elem_lazy(group["X"]),
        obs=ad.io.read_elem(group["obs"]),
        var=ad.io.read_elem(group["var"]),
    )
    assert isinstance(query.X, da.Array)
    told = {"n_shards": -(-query.n_obs // N_ROWS)}

    def kill_half_way(pid: int) -> None:
        while True:
            time.sleep(0.05)
            try:
                work = zarr.open_group(folder / "found.zarr.unfinished" / "work.zarr", mode="r")
                n_read = int(work["done"][0].sum())
            except (KeyError, FileNotFoundError):
                continue
            if n_read >= told["n_shards"] / 2:
                told["read_when_killed"] = n_read
                os.kill(pid, signal.SIGKILL)
                return

    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        pid = next(iter(client.run(os.getpid).values()))
        killer = Thread(target=kill_half_way, args=(pid,), daemon=True)
        killer.start()
        model.annotate_lazy(query, folder / "found.zarr", n_rows=N_ROWS)
        killer.join()
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
