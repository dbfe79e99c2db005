"""The benchmark of paired modalities: what is hidden, what a row says, and going on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from benchmarks.multimodal import __main__ as command
from benchmarks.multimodal import trainings
from mudata import MuData

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cancers, of which C has no normal tissue; the first gene of each assay tells them."""
    rng = np.random.default_rng(0)
    cohort = np.repeat(["A", "B", "C"], [40, 30, 20])
    label = np.where((np.arange(90) % 2 == 0) | (cohort == "C"), "tumor", "normal")
    names = [f"s{i}" for i in range(90)]
    parts = {}
    for name, n_genes in {"rna": 30, "mirna": 12}.items():
        x = rng.poisson(20, (90, n_genes)).astype(np.float32)
        x[label == "tumor", 0] += 60
        var = pd.DataFrame(index=[f"{name}{i}" for i in range(n_genes)])
        parts[name] = AnnData(x, obs=pd.DataFrame(index=names), var=var)
    mdata = MuData(parts)
    mdata.obs = pd.DataFrame({"cohort": cohort, "label": label}, index=names, dtype="category")
    mdata.write(tmp_path / trainings.FILE)
    return tmp_path


def test_a_cancer_is_hidden_and_loses_a_modality(folder: Path) -> None:
    mdata = trainings.read(folder)
    assert trainings.targets(mdata) == ["A", "B"]
    hidden = trainings.hide(mdata, "B", "mirna")
    unknown = hidden.obs["label"] == "Unknown"
    assert set(hidden.obs.loc[unknown, "cohort"]) == {"B"}
    assert unknown.sum() == 30
    assert hidden["mirna"].n_obs == 60
    assert hidden["rna"].n_obs == hidden.n_obs == 90
    assert set(mdata.obs["label"]) == {"tumor", "normal"}


def test_mixture_by_hand() -> None:
    torch = pytest.importorskip("torch")
    mean, variance = torch.tensor([[[1.0]], [[5.0]]]), torch.tensor([[[1.0]], [[3.0]]])
    both = trainings.mixture_of_experts(mean, variance, torch.tensor([[True, True]]))
    # Mean (1 + 5) / 2; variance (1 + 1 + 3 + 25) / 2 - 9.
    assert [part.item() for part in both] == [3.0, 6.0]
    one = trainings.mixture_of_experts(mean, variance, torch.tensor([[False, True]]))
    assert [part.item() for part in one] == [5.0, 3.0]


def test_it_goes_on_where_it_stopped(folder: Path) -> None:
    out = folder / "results.csv"
    arguments = ["--data", str(folder), "--out", str(out), "--trainings", "lr_z", "--seeds", "0"]
    assert command.main([*arguments, "--targets", "B"]) == 0
    first = out.read_text()
    assert command.main(arguments) == 0
    assert out.read_text().startswith(first)
    table = pd.read_csv(out)
    assert table.groupby("input")["target"].apply(set).to_dict() == {
        name: {"A", "B"} for name in ("rna", "mirna", "both")
    }
    assert (table["balanced_accuracy"] > 0.9).all()
    summary = (folder / "summary.md").read_text()
    assert "both side by side | 100.0 | 100.0 | 1.000" in summary
    assert "| A | 100.0 |" in summary
