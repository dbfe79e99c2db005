"""Both columns of the page for users of SCANVI, line by line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "from_scanvi.md"
if not PAGE.is_file():
    pytest.skip("the documentation stands in the repository only", allow_module_level=True)
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", TEXT, re.MULTILINE)


def names_of_the_page() -> dict[str, object]:
    names: dict[str, object] = {}
    block = re.search(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert block is not None
    exec(compile(block[1], PAGE.name, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import scvi

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scvi.settings, "_seed", scvi.settings.seed)


def test_there_are_lines() -> None:
    assert len(ROWS) > 15
    assert TEXT.count("\n| `") == len(ROWS)


def test_our_lines() -> None:
    names = names_of_the_page()
    for _, line in ROWS:
        exec(compile(line, line, "exec"), names)
    model, adata = names["model"], names["adata"]
    assert model.seed == 1
    assert (adata.obs["cell_type_pred"].notna()).all()
    assert np.isfinite(model.get_latent_representation()).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what SCANVI warns of is its own affair
def test_their_lines() -> None:
    names = names_of_the_page()
    for line, _ in ROWS:
        exec(compile(line, line, "exec"), names)
    assert len(names["mapped"].predict()) == 60
