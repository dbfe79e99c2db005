"""Arguments of the command line: refused at once, with examples in the help; and closed pipes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import domainvi as dv
from domainvi.cli import main

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    "demo",
    "check",
    "transfer",
    "train",
    "annotate",
    "audit",
    "benchmark",
    "explain",
    "report",
]
# What takes seconds to import; without these an answer comes in some tenths of a second.
SLOW_TO_IMPORT = {"anndata", "lightning", "numba", "pandas", "scanpy", "scipy", "scvi", "torch"}
COLUMNS = ["--batch", "domain", "--labels", "label"]
BAD = {
    "unknown option": ["audit", "--nope"],
    "missing file": ["audit", "nope.h5ad", *COLUMNS],
    "missing query": ["transfer", "ref.h5ad", "nope.h5ad", *COLUMNS, "-o", "x.h5ad"],
    "missing model": ["annotate", "no model", "ref.h5ad", "-o", "x.h5ad"],
    "column": ["audit", "ref.h5ad", "--batch", "domain", "--labels", "lable"],
    "format": ["transfer", "ref.h5ad", "query.h5ad", *COLUMNS, "-o", "x.csv"],
    "folder": ["train", "ref.h5ad", *COLUMNS, "-o", "no folder/model"],
    "existing output": ["benchmark", "ref.h5ad", *COLUMNS, "-o", "there.csv"],
    "device": ["train", "ref.h5ad", *COLUMNS, "-o", "model", "--device", "gpu0"],
    "resume": ["train", "ref.h5ad", *COLUMNS, "-o", "model", "--resume"],
    "nothing to check": ["check"],
    "no h5ad": ["audit", "broken.h5ad", *COLUMNS],
}


def run(arguments: list[str], folder: Path) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """Run a command; packages that it imported, and the process."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "domainvi", *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=os.environ | {"COLUMNS": "200"},
        timeout=120,
    )
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}, done


@pytest.fixture(scope="module")
def folder_of_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    dv.data.synthetic_cohorts(n_obs=60, n_genes=40).write_h5ad(folder / "ref.h5ad")
    shutil.copy(folder / "ref.h5ad", folder / "query.h5ad")
    (folder / "there.csv").write_text("mine\n")
    (folder / "broken.h5ad").write_bytes(b"no HDF5\0")
    return folder


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_refused_at_once(what: str, folder_of_files: Path) -> None:
    imported, done = run(BAD[what], folder_of_files)
    assert done.returncode == 2
    assert "cyclopts" in imported
    assert imported & SLOW_TO_IMPORT == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_comes_at_once(command: str, tmp_path: Path) -> None:
    imported, done = run([command, "--help"], tmp_path)
    assert done.returncode == 0
    assert imported & SLOW_TO_IMPORT == set()
    assert f"Example: domainvi {command}" in done.stdout


@pytest.mark.parametrize(
    ("command", "name", "better"),
    [
        ("transfer", "x.csv", "x.h5ad"),
        ("explain", "x.h5ad", "x.csv"),
        ("report", "x.csv", "x.html"),
    ],
)
def test_names_of_other_formats_are_refused(
    command: str, name: str, better: str, folder_of_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ref, folder = str(folder_of_files / "ref.h5ad"), str(folder_of_files)
    query = str(folder_of_files / "query.h5ad")
    files = [ref, query, *COLUMNS] if command == "transfer" else [folder, ref]
    assert main([command, *files, "-o", str(folder_of_files / name)]) == 2
    assert f"Use {better}." in capsys.readouterr().err
    assert not (folder_of_files / name).exists()


def test_a_closed_pipe_stops_neither_the_command_nor_its_files(folder_of_files: Path) -> None:
    command = [sys.executable, "-m", "domainvi", "train", "ref.h5ad", *COLUMNS]
    command += ["-o", "model", "--max-epochs", "1", "--force"]
    with subprocess.Popen(
        command, cwd=folder_of_files, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # before a line is written, as a pager that is left at once
        said = process.stderr.read().decode()
        assert process.wait(120) == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert (folder_of_files / "model" / "model.json").is_file()


@pytest.mark.parametrize("arguments", [["--help"], ["audit", "--help"]])
def test_a_pipe_that_is_closed_at_once_is_no_failure(
    arguments: list[str], folder_of_files: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "domainvi", *arguments],
        cwd=folder_of_files,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(120) == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
