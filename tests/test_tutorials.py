"""The tutorials run from a clean kernel, and their stored outputs are fit to be shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
if not NOTEBOOKS:
    pytest.skip("the tutorials stand in the repository only", allow_module_level=True)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_stored_outputs_are_complete_and_small(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == [*range(1, len(cells) + 1)]
    outputs = [o for c in cells for o in c.outputs]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert [o for o in outputs if o.output_type == "error"] == []
    assert path.stat().st_size < 1_000_000


@each_notebook
def test_outputs_hold_no_path_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    private = ("/home/", f"{Path.home()}/", "/tmp/", "site-packages")
    assert [word for word in private if word in text] == []


@pytest.mark.slow
@each_notebook
def test_it_runs_from_a_clean_kernel(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the kernel: other processes may be busy
    notebook = nbformat.read(path, as_version=4)
    shutil.copytree(FOLDER / "data", tmp_path / "data")
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert all(c.execution_count for c in notebook.cells if c.cell_type == "code")
