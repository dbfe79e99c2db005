"""Make the benchmarks importable, which are no part of the package, and give them small data."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of the real cohorts: five cohorts, three classes, paired patients."""
    folder = tmp_path_factory.mktemp("cohorts")
    rng = np.random.default_rng(0)
    n_rows = 400
    label = np.tile([0, 1, 2, 0, 1, 0, 1, 2], 50)
    x = rng.poisson(4, size=(n_rows, 130)).astype(np.float32)
    x[np.arange(n_rows), label] += 15
    obs = pd.DataFrame(
        {
            "cohort": np.repeat(["a", "b", "c", "d", "e"], [120, 120, 80, 60, 20]),
            "label": np.array(["x", "y", "z"])[label],
            "patient": [f"p{i // 2}" for i in range(n_rows)],
        },
        index=[f"s{i}" for i in range(n_rows)],
    )
    obs.loc[obs["cohort"].eq("e") & obs["label"].ne("x"), "label"] = "y"
    obs.loc["s0", "patient"] = obs.loc["s130", "patient"]
    var = pd.DataFrame(index=[f"g{i}" for i in range(x.shape[1])])
    ad.AnnData(x, obs=obs, var=var).write_h5ad(folder / "five.h5ad")
    columns = "task,family,file,domain_key,label_key,source,target,values,classes"
    rows = [
        "ac_to_b,first,five.h5ad,cohort,label,a|c,b,counts,x|y|z",
        "b_to_d,second,five.h5ad,cohort,label,b,d,counts,x|y",
    ]
    (folder / "tasks.csv").write_text("\n".join([columns, *rows]) + "\n")
    return folder
