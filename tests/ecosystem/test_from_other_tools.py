"""Our column of the page for users of other tools runs, line by line and table by table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "from_other_tools.md"
if not PAGE.is_file():
    pytest.skip("the documentation stands in the repository only", allow_module_level=True)
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", TEXT, re.MULTILINE)


@pytest.mark.slow
# Whatever scanpy's neighbours warn of is theirs.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_our_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 4)
    names: dict[str, object] = {}
    block = re.search(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert block is not None
    exec(compile(block[1], PAGE.name, "exec"), names)
    assert len(ROWS) > 15
    assert TEXT.count("\n| `") == len(ROWS)
    for theirs, line in ROWS:
        compile(theirs, theirs, "exec")
        exec(compile(line, line, "exec"), names)
    query, both = names["query"], names["both"]
    assert (query.obs["cell_type_pred"].notna()).all()
    assert np.isfinite(both.obsm["X_domainvi"]).all()
