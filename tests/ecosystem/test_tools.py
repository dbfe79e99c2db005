"""The ecosystem's own tools work on our models and on what they write."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scanpy as sc

import domainvi as dv

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

pytestmark = pytest.mark.slow
QUIET = {"accelerator": "cpu", "enable_progress_bar": False}
CHOSEN = {"silhouette_label", "isolated_labels", "silhouette_batch", "bras", "ilisi_knn"}
SETUP = {"batch_key": "domain", "labels_key": "label"}


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return dv.data.synthetic_cohorts(n_obs=240, n_genes=60, domain_effect=2.0, seed=3)


@pytest.fixture(scope="module")
def model(adata: AnnData) -> dv.DomainVI:
    dv.DomainVI.setup_anndata(adata, **SETUP)
    model = dv.DomainVI(adata)
    model.train(max_epochs=5, **QUIET)
    model.annotate(adata)
    return model


@pytest.mark.usefixtures("model")
def test_scanpy_neighbours_of_latents_mix_domains(adata: AnnData) -> None:
    mixed = adata.copy()

    def share_of_other_domain(**space: object) -> float:
        sc.pp.neighbors(mixed, n_neighbors=10, key_added="n", **space)
        graph = mixed.obsp["n_connectivities"].tocoo()
        domain = mixed.obs["domain"].to_numpy()
        return float(np.mean(domain[graph.row] != domain[graph.col]))

    assert share_of_other_domain(use_rep="X_domainvi") > 0.2
    assert share_of_other_domain(use_rep="X") < 0.1


# The tool passes scanpy an argument whose name has changed.
@pytest.mark.filterwarnings("ignore:Argument `use_highly_variable`:FutureWarning")
@pytest.mark.usefixtures("model")
def test_scib_metrics_benchmarks_the_latents(adata: AnnData) -> None:
    benchmark = pytest.importorskip("scib_metrics.benchmark")
    work = adata.copy()
    sc.pp.pca(work, n_comps=10)
    kinds = (benchmark.BioConservation, benchmark.BatchCorrection)
    off = {
        name: False
        for kind in kinds
        for name in kind.__dataclass_fields__
        if name
        not in {"silhouette_label", "silhouette_batch", "bras", "ilisi_knn", "isolated_labels"}
    }
    bio, batch = (
        kind(**{k: v for k, v in off.items() if k in kind.__dataclass_fields__}) for kind in kinds
    )
    bench = benchmark.Benchmarker(
        work,
        batch_key="domain",
        label_key="label_true",
        embedding_obsm_keys=["X_pca", "X_domainvi"],
        bio_conservation_metrics=bio,
        batch_correction_metrics=batch,
        progress_bar=False,
    )
    bench.benchmark()
    scores = bench.get_results(min_max_scale=False)["Total"]
    assert scores["X_domainvi"] > scores["X_pca"]


def test_posterior_predictive_check(adata: AnnData, model: dv.DomainVI) -> None:
    from scvi.criticism import PosteriorPredictiveCheck

    check = PosteriorPredictiveCheck(adata, {"domainvi": model}, n_samples=3)
    check.coefficient_of_variation("cells")
    table = check.metrics["cv_gene"]
    assert np.corrcoef(table["domainvi"], table["Raw"])[0, 1] > 0.75


def test_tensorboard_logs_what_the_history_holds(adata: AnnData, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    dv.DomainVI.setup_anndata(adata, **SETUP)
    model = dv.DomainVI(adata)
    model.train(max_epochs=2, logger=TensorBoardLogger(tmp_path), **QUIET)
    events = EventAccumulator(str(next(tmp_path.rglob("events.*")).parent)).Reload()
    assert "domain_accuracy_train" in events.Tags()["scalars"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the database layer below mlflow
def test_mlflow_logs_the_losses(adata: AnnData, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from lightning.pytorch.loggers import MLFlowLogger

    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    dv.DomainVI.setup_anndata(adata, **SETUP)
    model = dv.DomainVI(adata)
    logger = MLFlowLogger(tracking_uri=store, artifact_location=str(tmp_path))
    model.train(max_epochs=2, logger=logger, **QUIET)
    run = mlflow.MlflowClient(tracking_uri=store).get_run(logger.run_id)
    assert np.isfinite(run.data.metrics["validation_loss"])


def test_hub_describes_and_loads_a_model(
    adata: AnnData, model: dv.DomainVI, tmp_path: Path
) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import ModelCard
    from scvi.hub import HubMetadata, HubModel

    folder = tmp_path / "model"
    model.save(folder)
    versions = (version("scvi-tools"), version("anndata"))
    metadata = HubMetadata(*versions, "DomainVI", model_parent_module="domainvi")
    card = ModelCard("---\nlibrary_name: domainvi\n---\n# Labels of planted cohorts\n")
    HubModel(str(folder), metadata=metadata, model_card=card).save()
    hub = HubModel(str(folder))  # as one who downloaded the folder
    hub.load_model(adata=adata, accelerator="cpu", device="auto")
    np.testing.assert_array_equal(hub.model.predict(), model.predict())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of mlflow
def test_mlflow_through_the_settings_of_scvi_tools(
    adata: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("psutil")
    from scvi import settings

    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "mlflow_set_tracking_uri", store)
    monkeypatch.setattr(settings, "mlflow_set_experiment", "labels")
    dv.DomainVI.setup_anndata(adata, **SETUP)
    model = dv.DomainVI(adata)
    model.train(max_epochs=2, **QUIET)
    run = mlflow.MlflowClient(tracking_uri=store).get_run(model.run_id)
    assert float(run.data.params["lr"]) == 1e-3
    assert np.isfinite(run.data.metrics["validation_loss"])
