"""What a user of SCANVI writes works on DomainVI, or is refused as the table of names says."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import scvi

import domainvi as dv
from domainvi.inherited import INSTEAD, METHODS

from .runner import CRASH, DIFFERENT, OTHER_NAME, REFUSED, WORKS, counts, run, table
from .statements import BLOCKS

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[3] / "docs"
STATUS = {WORKS, OTHER_NAME, REFUSED, "not for users"}


@pytest.fixture(autouse=True)
def short_and_quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 4)
    monkeypatch.setattr(scvi.settings, "_seed", scvi.settings.seed)
    return


def test_statements_work(tmp_path: Path) -> None:
    found = []
    for name, block in BLOCKS.items():
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        found += run(name, block, dv.DomainVI, folder, ours=True)
    number = counts(found)
    wrong = [result for result in found if result.outcome in (CRASH, DIFFERENT)]
    assert not wrong, "\n".join(map(str, wrong))
    assert len(found) > 200
    share = (number[WORKS] + number[OTHER_NAME]) / len(found)
    assert share >= 0.95, number
    refused = [result for result in found if result.outcome == REFUSED]
    assert all(len(result.error) > 40 for result in refused)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what SCANVI warns of is its own affair
def test_the_statements_are_true_of_scanvi(tmp_path: Path) -> None:
    found = []
    for name, block in BLOCKS.items():
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        found += run(name, block, scvi.model.SCANVI, folder, ours=False)
    wrong = [result for result in found if result.outcome != WORKS]
    assert len(wrong) <= 0.02 * len(found), "\n".join(map(str, wrong))


# --- the table of names ---------------------------------------------------------------------------


def test_the_table_is_in_order() -> None:
    rows = table()
    assert {row.status for row in rows} == STATUS
    assert all(row.domainvi for row in rows if row.status != "not for users")
    assert len({(row.of, row.scanvi) for row in rows}) == len(rows)


def test_names_that_work_are_there() -> None:
    for row in table():
        if row.status == WORKS and row.of == "model":
            owner = dv.DomainVI
            missing = [name for name in row.names if not hasattr(owner, name)]
            # Attributes of a model that is made.
            assert set(missing) <= {"history", "train_indices", "registry", "is_trained"} | {
                "summary_stats",
                "device",
            }
        if row.status == WORKS and row.of in ("train", "load_query_data", "setup_anndata"):
            taken = inspect.signature(getattr(dv.DomainVI, row.of)).parameters
            explained = INSTEAD.get(row.of, {})
            names = set(row.names) if ": " not in row.scanvi else {row.domainvi}
            assert names <= set(taken) | set(explained) | TRAINER


TRAINER = {"check_val_every_n_epoch", "callbacks", "logger"}


def test_what_is_refused_by_the_source_is_in_the_table() -> None:
    listed = {name for row in table() for name in row.names}
    minor = {"var_activation", "deeply_inject_covariates", "y_prior", "labels_groups"}
    minor |= {"ig_args", "dataloader", "mc_samples", "transfer_batch", "registry", "device"}
    minor |= {"save_kwargs", "legacy_mudata_format", "allowed_classes_names_list"}
    minor |= {"importance_weighting_kwargs", "filter_outlier_cells", "minified_data_type"}
    assert {name for names in INSTEAD.values() for name in names} - listed <= minor
    assert set(METHODS) - listed <= minor


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation stands in the repository only")
def test_the_documentation_shows_the_table() -> None:
    page = (DOCS / "user_guide" / "from_scanvi.md").read_text(encoding="utf-8")
    assert ":file: ../../tests/ecosystem/scanvi/names.csv" in page
