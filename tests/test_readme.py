"""The README: its code runs, its commands parse and run, and what it says is written is written."""

from __future__ import annotations

import functools
import re
import shlex
import socket
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

import domainvi as dv
from domainvi.cli import main
from domainvi.cli._main import build

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
if not README.is_file():
    pytest.skip("the README stands in the repository only", allow_module_level=True)
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = "".join(blocks("bash")).replace("\\\n", "").splitlines()
    return [command for line in lines for command in line.split(" && ")]


def documented(where: str) -> set[str]:
    return set(re.findall(rf'^\| `{where}\["(.+?)"\]`', TEXT, re.MULTILINE))


def test_python_block_runs_and_writes_what_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    train = functools.partialmethod(
        dv.DomainVI.train, max_epochs=1, accelerator="cpu", enable_progress_bar=False
    )
    monkeypatch.setattr(dv.DomainVI, "train", train)
    names: dict[str, ad.AnnData] = {}
    (block,) = blocks("python")
    exec(block, names)
    adata, before = names["adata"], dv.data.cohorts()
    assert set(adata.obs) - set(before.obs) == documented("obs")
    assert set(adata.obsm) - set(before.obsm) == documented("obsm")
    assert set(adata.uns) - set(before.uns) == documented("uns")


def test_commands_parse() -> None:
    ours = [shlex.split(c)[1:] for c in commands() if c.startswith("domainvi ")]
    assert {words[0] for words in ours} == {"demo", "transfer", "audit", "train", "annotate"}
    for words in ours:
        build().parse_args(words, exit_on_error=False, print_error=False)


def test_commands_on_own_files_run(
    tmp_path: Path, make_adata: Callable[..., ad.AnnData], monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = make_adata(hidden=())
    adata.obs = adata.obs.rename(columns={"label": "cancer_type"})
    adata.write_h5ad(tmp_path / "cohorts.h5ad")
    # One cohort is reference enough for `transfer`.
    adata[adata.obs["cohort"] == "x"].write_h5ad(tmp_path / "ref.h5ad")
    adata.obs["cohort"] = "z"
    adata.write_h5ad(tmp_path / "query.h5ad")
    monkeypatch.chdir(tmp_path)
    for command in commands():
        _, *words = shlex.split(command)
        if command.startswith(("domainvi transfer", "domainvi train")):
            assert main([*words, "--max-epochs", "1", "--device", "cpu"]) == 0
        elif command.startswith(("domainvi audit", "domainvi annotate")):
            assert main(words) == 0
    for name in ("query_labelled.h5ad", "query_annotated.h5ad"):
        found = ad.read_h5ad(tmp_path / name)
        assert documented("obs") <= set(found.obs)
        assert documented("obsm") <= set(found.obsm)


def test_installation_names_what_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installs = [c for c in commands() if "pip install" in c]
    assert len(installs) == 2
    for command in installs:
        words = shlex.split(command)
        assert (ROOT / words[words.index("-c") + 1]).is_file()
        for extra in re.findall(r"\[(.+?)\]", command):
            assert extra in project["optional-dependencies"]


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) >= 5
    assert [link for link in links if "://" not in link and not (ROOT / link).is_file()] == []


def test_it_is_short() -> None:
    assert len(TEXT.split()) < 500


def test_nothing_leaves_the_machine_and_no_row_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    adata = dv.data.synthetic_cohorts(n_obs=97, n_genes=60, values="log", seed=1)
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    found = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        model = dv.DomainVI(adata)
        model.train(max_epochs=1, enable_progress_bar=False)
        model.save(folder)
        found.append(model.predict(soft=True))
    pd.testing.assert_frame_equal(*found)
    files = [path for path in (tmp_path / "first").rglob("*") if path.is_file()]
    assert len(files) > 1
    stored = b"".join(path.read_bytes() for path in files)
    rows = np.asarray(adata.X, dtype=np.float32)
    assert not any(row.tobytes() in stored or row[:8].tobytes() in stored for row in rows)
    (weights,) = (path for path in files if path.suffix == ".safetensors")
    kept = [t for t in load_file(weights).values() if t.is_floating_point()]
    assert kept
    assert not any(adata.n_obs in t.shape for t in kept)
