"""Every advice in an error message is taken and leads on; none is forgotten."""

from __future__ import annotations

import ast
import re
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from scvi.train import SaveCheckpoint

import domainvi as dv
from domainvi import metrics
from domainvi.cli import main
from domainvi.cli._files import check_output, write
from domainvi.data import check_setup, describe_matrix, flatten
from domainvi.errors import DomainVIError, InputError
from domainvi.files import read
from domainvi.io import write_model
from domainvi.model._lazy._shards import Key, place_at

from . import test_remedies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    World = SimpleNamespace
    Step = Callable[[World], object]

KEYS = {"batch_key": "cohort", "labels_key": "label"}
SMALL = {"n_latent": 4, "n_hidden": 8, "n_components": 8}
RUN = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
X = np.random.default_rng(0).normal(size=(24, 3))
TWO = np.arange(24) % 2
GROUPS = {"biological": ["label"], "technical": ["cohort"]}


def fresh(w: World, cls: Any = dv.DomainVI, adata: Any = None, **setup: Any) -> Any:
    """A model that is set up and not trained."""
    adata = w.make(60, hidden=()) if adata is None else adata
    cls.setup_anndata(adata, **({**KEYS} | setup))
    return cls(adata, **SMALL)


def grouped(w: World, groups: Any, **columns: Any) -> None:
    adata = w.make(60, hidden=())
    for name, values in columns.items():
        adata.obs[name] = values
    dv.DisentangledVI.setup_anndata(adata, factor_groups=groups, labels_key="label")


def several(w: World, rename: str = "mirna", change: Any = None, **setup: Any) -> Any:
    """A MuData of two modalities, set up."""
    parts = {}
    for name in ("rna", rename):
        parts[name] = w.make(60, hidden=())
        parts[name].var_names = [f"{name}{i}" for i in range(20)]
    mdata = mudata.MuData(parts)
    mdata.obs = parts["rna"].obs.assign(age=np.arange(60.0) + 1)
    for part in parts.values():
        part.layers["counts"] = part.X
    if change is not None:
        change(mdata)
    dv.DomainVI.setup_mudata(mdata, **(KEYS | setup))
    return mdata


def subset(mdata: mudata.MuData) -> None:
    mdata.mod["rna"].obs_names = [f"{name}!" for name in mdata.mod["rna"].obs_names]


def command(*line: object) -> int:
    """Run a command; an error of input is raised again, to be looked at."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    said = StringIO()
    with redirect_stderr(said), redirect_stdout(StringIO()):
        status = main([str(part) for part in line])
    if status:
        raise InputError(said.getvalue())
    return status


def transfer(w: World, *more: object, scale: float = 1.0, rename: dict | None = None) -> int:
    """Move labels between files: counts, or fractions of them; cohorts x and z, or renamed."""
    ref, query = (w.make(40, counts=True, cohorts=(c,), hidden=()) for c in "xz")
    query.X = query.X * np.float32(scale)
    if scale == 1.5:
        query.X = query.X + np.float32(0.25)
    if rename is not None:
        query.obs["cohort"] = query.obs["cohort"].cat.rename_categories(rename)
    if scale == 0:
        ref.X, query.X = np.log2(ref.X + 1), np.log2(w.make(40, counts=True).X + 1)
    ref.write_h5ad(w.tmp / "ref.h5ad")
    query.write_h5ad(w.tmp / "query.h5ad")
    files = [w.tmp / "ref.h5ad", w.tmp / "query.h5ad", "-o", w.tmp / "out.h5ad", "--force"]
    return command(
        "transfer", *files, "--labels", "label", "--batch", "cohort", "--max-epochs", 1,
        "--device", "cpu", *more,
    )  # fmt: skip


def tree(w: World, labels: Any = "label", parents: Any = None, **columns: Any) -> dv.DomainVI:
    """A model of labels on several levels; ``columns`` have values for two rows in turn."""
    adata = w.make(60, hidden=())
    for name, values in columns.items():
        adata.obs[name] = np.array(values, dtype=object)[np.arange(60) % len(values)]
    return fresh(w, adata=adata, labels_key=labels, label_tree=parents)


def split(w: World, train: range, *, known: int, **setup: Any) -> None:
    """Train on some rows, the first ``known`` ones labelled, and validate and test on others."""
    adata = w.make(60, hidden=())
    adata.obs["label"] = adata.obs["label"].where(np.arange(60) < known, None)
    adata.obs["sex"] = np.array(["f", "m"])[np.arange(60) // 2 % 2]
    rows = [np.array(r) for r in (train, range(40, 50), range(50, 60))]
    model = fresh(w, adata=adata, **setup)
    model.train(**RUN, datasplitter_kwargs={"external_indexing": rows})


def few(w: World, n: int) -> dv.DomainVI:
    """A trained model with so many labelled rows."""
    adata = w.make(60, hidden=())
    adata.obs["label"] = adata.obs["label"].where(np.arange(60) < n, None)
    model = fresh(w, adata=adata)
    model.train(**RUN)
    return model


def file(w: World, name: str = "a.h5ad") -> Path:
    path = w.tmp / name
    if not path.exists():
        w.make(30).write_h5ad(path)
    return path


def modalities(w: World) -> Path:
    parts = {name: w.make(30) for name in ("rna", "protein")}
    parts["protein"].var_names = [f"P{i}" for i in range(20)]
    mudata.MuData(parts).write(w.tmp / "a.h5mu")
    return w.tmp / "a.h5mu"


def output(w: World, name: str, *, force: bool = False, kind: str = ".h5ad") -> Path:
    path = w.tmp / name
    check_output(path, force, kind=kind, others=(file(w),))
    return path


def linked(w: World) -> None:
    (w.tmp / "loop.h5ad").symlink_to(w.tmp / "loop.h5ad")
    output(w, "loop.h5ad", force=True)


def saved(w: World, name: str = "model", *, data: bool = False) -> Path:
    path = w.tmp / name
    if not path.exists():
        w.model.save(path, save_anndata=data)
    return path


def damaged(w: World, name: str) -> Path:
    path = saved(w, "damaged", data=True)
    for found in path.glob(name):
        found.write_bytes(found.read_bytes()[:60])
    return path


def query(w: World, **columns: Any) -> ad.AnnData:
    adata = w.make(30, hidden=())
    for name, value in columns.items():
        adata.obs[name] = value
    return adata


def checkpoints(w: World) -> None:
    with pytest.raises(DomainVIError, match="there"):
        interrupted(w, batch_size=8)
    fresh(w).train(**RUN | {"max_epochs": 3}, checkpoint_dir=w.tmp / "points")


def interrupted(w: World, **arguments: Any) -> None:
    """Train to the middle, and go on with other arguments."""

    class Stop(Callback):
        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 2:
                raise RuntimeError

    path = w.tmp / "points"
    shutil.rmtree(path, ignore_errors=True)
    with pytest.raises(RuntimeError):
        fresh(w).train(**RUN | {"max_epochs": 3}, checkpoint_dir=path, callbacks=[Stop()])
    name = arguments.pop("name", "points")
    fresh(w).train(
        **RUN | {"max_epochs": 3} | arguments, checkpoint_dir=w.tmp / name, resume=name == "points"
    )


def encoder(w: World) -> Path:
    path = w.tmp / "pretrained"
    pretrained(w).save(path, overwrite=True)
    return path


def pretrained(w: World, **arguments: Any) -> Any:
    model = fresh(w)
    model.pretrain(**RUN | arguments)
    return model


def with_target(w: World, **arguments: Any) -> None:
    adata = w.make(60, hidden=())
    adata.obs["age"] = np.arange(60.0)
    fresh(w, adata=adata, target_keys=["age"]).train(**RUN | arguments)


def frame(w: World, **columns: Any) -> ad.AnnData:
    adata = w.make(60)
    for name, values in columns.items():
        adata.obs[name] = values
    return adata


def annotated(w: World) -> ad.AnnData:
    adata = query(w)
    w.model.annotate(adata)
    return adata


def sound_path(w: World) -> Path:
    return w.tmp / "report.html"


def report(w: World, data: Any, path: Path, **arguments: Any) -> None:
    dv.tl.report(w.model, data, path, n_genes=0, **arguments)


def benchmark(w: World, n_splits: int) -> None:
    dv.tl.benchmark(
        w.make(24, hidden=()), **KEYS, protocol="cross_validation", methods=("majority",),
        n_splits=n_splits,
    )  # fmt: skip


def table(w: World, last: str) -> ad.AnnData:
    numbers = "".join(f"G{i}A,{i}.5\n" for i in range(9))
    (w.tmp / "a.csv").write_text(f"gene,s1\n{numbers}TP53,{last}\n")
    return read(w.tmp / "a.csv")


def unwritable(w: World, *, elsewhere: bool = False) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not elsewhere:
            patch.setattr("os.access", lambda *_: False)
        output(w, "b.h5ad")


def full(w: World, save: Callable[[], object], *, space: bool = False) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        if not space:
            patch.setattr(ad.AnnData, "write_h5ad", fail)
        save()


def disentangled(w: World, n_latent: int) -> None:
    adata = w.make(60, classes=("a", "b", "c"), hidden=())
    dv.DisentangledVI.setup_anndata(adata, factor_groups=GROUPS, labels_key="label")
    dv.DisentangledVI(adata, n_latent=n_latent, n_residual=2, direct_factors=["label"])


def backed(w: World) -> None:
    dv.DomainVI.setup_anndata(ad.read_h5ad(file(w), backed="r"), **KEYS)


FACTORED = {"biological": ["label"], "technical": ["cohort"]}
PROBS = np.array([[0.9, 0.1], [0.2, 0.8]])

# What the message says, what is refused, and the advice, taken. Fragments are of the source.
CASES: list[tuple[str, Step, Step]] = [
    ("is not known. Use one of ", lambda w: dv.DomainVI(w.adata, scaling="x"),
     lambda w: dv.DomainVI(w.adata, scaling="mix")),
    ("Pass one value for each row", lambda w: metrics.accuracy([1], [1, 2]),
     lambda w: metrics.accuracy([1, 1], [1, 2])),
    ("expected none. Drop those rows first",
     lambda w: metrics.domain_probe(np.where(X > 1.5, np.nan, X), TWO),
     lambda w: metrics.domain_probe(X[(X <= 1.5).all(axis=1)], TWO[(X <= 1.5).all(axis=1)])),
    ("Apply a softmax to logits first", lambda w: metrics.brier([0, 1], PROBS * 5),
     lambda w: metrics.brier([0, 1], np.exp(PROBS) / np.exp(PROBS).sum(axis=1, keepdims=True))),
    ("Leave out unlabelled rows and classes", lambda w: metrics.brier([0, -1], PROBS),
     lambda w: metrics.brier([0], PROBS[:1])),
    ("Leave out the units that did not finish",
     lambda w: metrics.negative_transfer_rate([0.5, np.nan], [0.4, 0.4]),
     lambda w: metrics.negative_transfer_rate([0.5], [0.4])),
    ("must mark some rows and leave others", lambda w: metrics.auroc([0.1, 0.2], [True, True]),
     lambda w: metrics.auroc([0.1, 0.2], [True, False])),
    ("Leave out the small ones", lambda w: metrics.domain_probe(X, np.r_[TWO[:-1], 2]),
     lambda w: metrics.domain_probe(X[:-1], TWO[:-1])),
    ("check needs at least one file", lambda w: command("check"),
     lambda w: command("check", file(w))),
    ("does not exist. Create it first", lambda w: output(w, "no/a2.h5ad"),
     lambda w: (w.tmp / "no").mkdir() or output(w, "no/a2.h5ad")),
    ("written twice. Write to another place", lambda w: output(w, file(w).name, force=True),
     lambda w: output(w, "b.h5ad")),
    ("and this command writes ", lambda w: output(w, "b.csv"), lambda w: output(w, "b.h5ad")),
    ("exists already. Pass --force to replace it",
     lambda w: (w.tmp / "old.h5ad").write_text("") or output(w, "old.h5ad"),
     lambda w: output(w, "old.h5ad", force=True)),
    ("is a link that leads to itself", linked, lambda w: output(w, "b.h5ad")),
    ("expected the name of a file to write", lambda w: (w.tmp / "d").mkdir() or output(w, "d"),
     lambda w: output(w, "out.h5ad")),
    ("Bring both to one scale", lambda w: transfer(w, scale=1.5), lambda w: transfer(w, scale=0)),
    ("Give the query's another name", lambda w: transfer(w, rename={"z": "x"}), transfer),
    ("the column holds values that are not names",
     lambda w: check_setup(frame(w, label=[["a"], ["b"]] * 30), batch_keys=["cohort"],
                           labels_key="label"),
     lambda w: check_setup(
         frame(w, label=pd.Series([["a"], ["b"]] * 30, w.make(60).obs_names)
               .map(str, na_action="ignore").astype("category")),
         batch_keys=["cohort"], labels_key="label")),
    ("is a name that scvi-tools keeps for itself",
     lambda w: check_setup(frame(w, _scvi_batch=TWO.repeat(3)[:60]), batch_keys=["_scvi_batch"],
                           labels_key="truth"),
     lambda w: check_setup(frame(w, copy=pd.Series(TWO.repeat(3)[:60]).astype(str).to_numpy()),
                           batch_keys=["copy"], labels_key="truth")),
    ("Convert them, such as adata.X = adata.X.astype('float32')",
     lambda w: check_setup(with_x(w, lambda x: x.astype(object)), batch_keys=["cohort"],
                           labels_key="label"),
     lambda w: check_setup(with_x(w, lambda x: x.astype(object).astype("float32")),
                           batch_keys=["cohort"], labels_key="label")),
    ("Check which layer holds the expression values",
     lambda w: check_setup(with_x(w, lambda x: x * 0 + 2), batch_keys=["cohort"],
                           labels_key="label"),
     lambda w: check_setup(with_layer(w), batch_keys=["cohort"], labels_key="label",
                           layer="log")),
    ("names must not be empty or hold ", lambda w: several(w, "mi:rna"), several),
    ("Call mdata.update() after changing", lambda w: several(w, change=subset),
     lambda w: several(w, change=lambda m: subset(m) or m.update() or restore(m))),
    ("Leave it out: row sums are taken", lambda w: several(w, size_factor_key="age"), several),
    ("Use modalities=<one of them>", lambda w: several(w, target_keys=["age"]),
     lambda w: several(w, target_keys=["age"], modalities="rna")),
    (": name layers as modalities={'rna': 'counts'}", lambda w: several(w, layer="counts"),
     lambda w: several(w, modalities={"rna": "counts"})),
    ("pass one modality, such as mdata['rna']", lambda w: w.model.predict(several(w)),
     lambda w: w.model.predict(mudata.MuData({"rna": query(w)})["rna"])),
    ("Use setup_mudata(..., modalities=<one of them>)",
     lambda w: dv.DomainVI(several(w), **SMALL).pretrain(**RUN),
     lambda w: dv.DomainVI(several(w, modalities="rna"), **SMALL).pretrain(**RUN)),
    ("Make one, such as anndata.AnnData(frame)", lambda w: w.model.predict(query(w).to_df()),
     lambda w: w.model.predict(ad.AnnData(query(w).to_df()))
     if w.model.predict(read(file(w))) is not None else None),
    ("a factor belongs to one group. Leave it in one",
     lambda w: grouped(w, {"a": ["label"], "b": ["label", "cohort"]}),
     lambda w: grouped(w, {"a": ["label"], "b": ["cohort"]})),
    ("; use text.", lambda w: grouped(w, {1: ["label"], "b": ["cohort"]}),
     lambda w: grouped(w, {"1": ["label"], "b": ["cohort"]})),
    ("Rename the group", lambda w: grouped(w, {"type": ["label"], "b": ["cohort"]}),
     lambda w: grouped(w, {"kind": ["label"], "b": ["cohort"]})),
    ("Leave it out, or merge levels",
     lambda w: grouped(w, FACTORED | {"row": ["row"]}, row=[f"r{i}" for i in range(60)]),
     lambda w: grouped(w, FACTORED | {"row": ["row"]}, row=[f"r{i % 7}" for i in range(60)])),
    ("add it to one, so", lambda w: grouped(w, {"a": ["truth"], "b": ["cohort"]}),
     lambda w: grouped(w, {"a": ["truth", "label"], "b": ["cohort"]})),
    ("no modalities. Leave --modality out",
     lambda w: command("check", file(w), "--modality", "rna"),
     lambda w: command("check", file(w))),
    ("Choose one with --modality", lambda w: command("check", modalities(w)),
     lambda w: command("check", modalities(w), "--modality", "rna")),
    ("; empty them, or fill in numbers", lambda w: table(w, "x"), lambda w: table(w, "")),
    ("fill it first with filled()",
     lambda w: write_model(w.tmp / "m", {}, {"a": np.ma.masked_array([1, 2], [True, False])}),
     lambda w: write_model(w.tmp / "m", {}, {"a": np.ma.masked_array([1], [True]).filled(0)})),
    ("Convert it to numbers or bool",
     lambda w: write_model(w.tmp / "m", {}, {"a": np.array([[1, "a"]], dtype=object)}),
     lambda w: write_model(w.tmp / "m", {}, {"a": np.array([1.0, 2.0])})),
    ("cannot be used; rename this tensor",
     lambda w: write_model(w.tmp / "m", {"__metadata__": np.ones(2)}, {}),
     lambda w: write_model(w.tmp / "m", {"weights": np.ones(2)}, {})),
    ("put text and objects into metadata",
     lambda w: write_model(w.tmp / "m", {"a": np.array(["x"])}, {}),
     lambda w: write_model(w.tmp / "m", {}, {"a": np.array(["x"])})),
    ("has a directory of its own. Use ", lambda w: w.model.save(w.tmp / "p", prefix="a"),
     lambda w: w.model.save(w.tmp / "p" / "a")),
    ("is no data. Assign an object", lambda w: setattr(fresh(w), "adata", None),
     lambda w: setattr(dv.DomainVI.load(saved(w), adata=False), "adata", w.make(30))),
    ("without pickle. Use load(dir_path)",
     lambda w: dv.DomainVI.convert_legacy_save(saved(w), w.tmp / "converted"),
     lambda w: dv.DomainVI.load(saved(w))),
    ("Call setup_anndata with the other arguments",
     lambda w: fresh(w).update_setup_method_args({"labels_key": "truth"}),
     lambda w: fresh(w, labels_key="truth")),
    ("is not registered. Use one of ", lambda w: w.model.get_from_registry(w.adata, "x"),
     lambda w: w.model.get_from_registry(w.adata, "batch")),
    ("was loaded without data. Pass adata=", lambda w: dv.DomainVI.load(saved(w)).predict(),
     lambda w: dv.DomainVI.load(saved(w)).predict(query(w))),
    ("are not in the model, such as ",
     lambda w: w.model.get_normalized_expression(gene_list=["nothing"]),
     lambda w: w.model.get_normalized_expression(gene_list=w.model.genes[:2])),
    ("Pass the query to predict or annotate, or set reference",
     lambda w: dv.DomainVI.load_query_data(query(w), trained(w, batch_key=None)),
     lambda w: trained(w, batch_key=None).predict(query(w))),
    ("labels_key=None: DomainVI learns labels", lambda w: fresh(w, labels_key=None), fresh),
    ("needs no preparation for ",
     lambda w: dv.DomainVI.prepare_query_mudata(several(w), w.model),
     lambda w: w.model.predict(query(w))),
    ("is not known. Use None or one of ", lambda w: w.model.explain(query(w), target="x"),
     lambda w: w.model.explain(query(w), target=None)),
    ("Name some.", lambda w: w.model.predict(query(w), classes=[]),
     lambda w: w.model.predict(query(w), classes=["a"])),
    ("not known. Use some of ", lambda w: w.model.explain(query(w), classes=["x"]),
     lambda w: w.model.explain(query(w), classes=["a"])),
    ("or an array with one log value a gene", lambda w: w.model.explain(query(w), baseline="x"),
     lambda w: w.model.explain(query(w), baseline=np.zeros(20))),
    ("holds a checkpoint already. Pass resume=True",
     checkpoints, interrupted),
    ("is no folder; expected the name of one",
     lambda w: fresh(w).train(**RUN, checkpoint_dir=file(w)),
     lambda w: fresh(w).train(**RUN, checkpoint_dir=w.tmp / "folder")),
    ("holds a model, not a checkpoint. Load it",
     lambda w: fresh(w).train(**RUN, checkpoint_dir=saved(w), resume=True),
     lambda w: dv.DomainVI.load(saved(w))),
    ("Continue with the same data and arguments", lambda w: interrupted(w, batch_size=8),
     lambda w: interrupted(w, batch_size=8, name="elsewhere")),
    ("cannot be read ({error!s", lambda w: dv.DomainVI.load(damaged(w, "adata.h5ad")),
     lambda w: dv.DomainVI.load(damaged(w, "adata.h5ad"), adata=False)),
    ("Load without adata and pass it to predict",
     lambda w: dv.DomainVI.load(saved(w), adata=query(w, cohort="new")),
     lambda w: dv.DomainVI.load(saved(w)).predict(query(w, cohort="new"))),
    ("only the first batch_key may have new ones",
     lambda w: w.covariate.get_latent_representation(query(w, site="c"))
     if dv.DomainVI.load_query_data(query(w, site="c"), w.covariate) else None,
     lambda w: dv.DomainVI.load_query_data(query(w, site="s"), w.covariate)),
    ("The model was trained on log values",
     lambda w: w.model.predict(with_x(w, lambda x: np.exp2(np.abs(x) + 5))),
     lambda w: w.model.predict(with_x(w, lambda x: np.log2(np.exp2(np.abs(x)))))),
    ("Models with target_keys are trained in one process",
     lambda w: with_target(w, devices=2, strategy="ddp"), lambda w: with_target(w, devices=1)),
    ("which is no callback of lightning. Leave it out",
     lambda w: fresh(w).train(**RUN, callbacks=[3]), lambda w: fresh(w).train(**RUN)),
    ("Change or leave them out", lambda w: fresh(w).train(**RUN | {"accelerator": "none"}),
     lambda w: fresh(w).train(**RUN)),
    ("write checkpoints. Leave one of them out",
     lambda w: fresh(w).train(**RUN, checkpoint_dir=w.tmp / "c", callbacks=[ModelCheckpoint()]),
     lambda w: fresh(w).train(**RUN, checkpoint_dir=w.tmp / "c")),
    ("has no targets. Name them as target_keys", lambda w: w.model.predict(target="age"),
     with_target),
    ("not in attributions. Use some of ",
     lambda w: dv.pl.attribution(pd.DataFrame({"a": [1.0]}, ["TP53"]), classes=["x"]),
     lambda w: dv.pl.attribution(pd.DataFrame({"a": [1.0]}, ["TP53"]), classes=["a"])),
    ("Call model.annotate(adata) first", lambda w: dv.pl.calibration(query(w), truth="truth"),
     lambda w: dv.pl.calibration(annotated(w), truth="truth")),
    ("Pass what get_leakage() returned", lambda w: dv.pl.leakage(pd.DataFrame({"a": [1]})),
     lambda w: dv.pl.leakage(pd.DataFrame([{
         "subspace": "s", "factor": "f", "own": True, "score": 0.9, "chance": 0.2, "low": 0.8,
         "high": 0.95}]))),
    ("Pass the labelled cohorts as reference=",
     lambda w: dv.pl.label_flow(annotated(w)),
     lambda w: dv.pl.label_flow(annotated(w), reference=w.adata)),
    ("The model has no history. Call train() first",
     lambda w: dv.pl.training_curves(fresh(w)), lambda w: dv.pl.training_curves(w.model)),
    ("Call pretrain before train, on a new model", lambda w: w.model.pretrain(**RUN), pretrained),
    ("is not pretrained. Call pretrain first",
     lambda w: fresh(w).get_pretrained_representation(),
     lambda w: pretrained(w).get_pretrained_representation()),
    ("Use within_domain=True",
     lambda w: pretrained(w, method="scarf", adata=query(w)[:, :15].copy(),
                          plan_kwargs={"within_domain": False}),
     lambda w: pretrained(w, method="scarf", adata=query(w)[:, :15].copy(),
                          plan_kwargs={"within_domain": True})),
    ("is not known. Use None or 'paper'", lambda w: pretrained(w, preset="x"), pretrained),
    ("at most the number of genes",
     lambda w: dv.DomainVI(w.adata, **SMALL | {"n_hidden": 16}, pretrain_from=encoder(w)),
     lambda w: dv.DomainVI(w.adata, **SMALL, pretrain_from=encoder(w))),
    ("Pretrain and train models with other seeds",
     lambda w: both(w).explain(query(w), stability=2), lambda w: both(w).explain(query(w))),
    ("rows of a class. Pass a smaller number", lambda w: benchmark(w, 60),
     lambda w: benchmark(w, 2)),
    ("Reports are of an AnnData; pass one modality",
     lambda w: report(w, mudata.MuData({"rna": query(w)}), sound_path(w)),
     lambda w: report(w, mudata.MuData({"rna": query(w)})["rna"], sound_path(w))),
    ("{path}: the folder {path.parent} does not exist",
     lambda w: report(w, query(w), w.tmp / "none" / "r.html"),
     lambda w: (w.tmp / "none").mkdir() or report(w, query(w), w.tmp / "none" / "r.html")),
    ("Pass overwrite=True to replace it",
     lambda w: sound_path(w).write_text("") or report(w, query(w), sound_path(w)),
     lambda w: report(w, query(w), sound_path(w), overwrite=True)),
    ("cannot be written to. Write elsewhere", unwritable, lambda w: unwritable(w, elsewhere=True)),
    ("Free some space or write elsewhere",
     lambda w: full(w, lambda: write(w.make(30), w.tmp / "o.h5ad")),
     lambda w: full(w, lambda: write(w.make(30), w.tmp / "o.h5ad"), space=True)),
    ("Drop that part, or turn it into text",
     lambda w: write(with_uns(w, print), w.tmp / "o.h5ad"),
     lambda w: write(with_uns(w, str(print)), w.tmp / "o.h5ad")),
    ("Free some space, drop what no file can hold, or save the data elsewhere",
     lambda w: full(w, lambda: w.model.save(w.tmp / "s", save_anndata=True, overwrite=True)),
     lambda w: full(w, lambda: w.model.save(w.tmp / "s", save_anndata=True, overwrite=True),
                    space=True)),
    ("is a masked array with masked entries; fill or remove",
     lambda w: describe_matrix(np.ma.masked_array([[1.0, 2.0]], [[True, False]])),
     lambda w: describe_matrix(np.ma.masked_array([[1.0, 2.0]], [[True, False]]).filled(0))),
    ("Pass a MuData, or one modality under the same gene names",
     lambda w: flatten(query(w), {"rna": None, "mirna": None}, {"rna": ["A"], "mirna": ["B"]}),
     lambda w: flatten(query(w), {"rna": None, "mirna": None},
                       {"rna": [*query(w).var_names], "mirna": ["B"]})),
    ("Take a larger one, or leave it out",
     lambda w: transfer(w, "--set-alpha", 0.01), lambda w: transfer(w, "--set-alpha", 0.1)),
    ("classes are {', '.join(sorted(known))}. Name some of these",
     lambda w: transfer(w, "--classes", "c"), lambda w: transfer(w, "--classes", "a")),
    ("Give the one another name",
     lambda w: tree(w, ["top", "fine"], top=["T", "NK", "T"], fine=["NK", None, "x"]),
     lambda w: tree(w, ["top", "fine"], top=["T", "NK", "T"], fine=["NK-like", None, "x"])),
    ("is a tree: leave label_tree out, or name one column",
     lambda w: tree(w, ["top", "label"], {"a": "T"}, top=["T", "B"]),
     lambda w: (tree(w, ["top", "label"], top=["T", "B"]), tree(w, "label", {"a": "T"}))),
    ("Name each level once", lambda w: tree(w, ["label", "label"]),
     lambda w: tree(w, ["top", "label"], top=["T", "B"])),
    ("two parents, {known!r} and {str(parent).strip()!r}. Keep one",
     lambda w: tree(w, "label", pd.DataFrame([("a", "T"), ("a", "B")])),
     lambda w: tree(w, "label", pd.DataFrame([("a", "T")]))),
    ("Use the names of obs", lambda w: tree(w, "label", {"A": "T"}),
     lambda w: tree(w, "label", {"a": "T"})),
    ("Name it apart in each, or mend the rows of obs",
     lambda w: tree(w, ["top", "fine"], top=["T", "B"], fine=["x", "x", "y", "z"]),
     lambda w: tree(w, ["top", "fine"], top=["T", "B"], fine=["T x", "B x", "y", "z"])),
    ("rows of training is labelled. Add some that are",
     lambda w: split(w, range(30, 40), known=30), lambda w: split(w, range(40), known=30)),
    ("Set values of these rows to missing instead",
     lambda w: split(w, range(40), known=60, target_keys=["sex"]),
     lambda w: split(w, range(40), known=60)),
    ("Name the arguments: their order is not that of scvi-tools",
     lambda w: dv.DomainVI(w.adata, None, 4, 8, 1, 8, 0.1, "nb", "mix", "none", 0, None, "gene"),
     lambda w: dv.DomainVI(w.adata, n_latent=4)),
    ("there is nothing to score. Pass labelled rows",
     lambda w: metrics.level_accuracy(np.empty((0, 2)), np.empty((0, 2)), np.empty(0)),
     lambda w: metrics.level_accuracy([["T", "x"]], [["T", "x"]], [1])),
    ("Train it again on more", lambda w: few(w, 8).prediction_sets(alpha=0.3),
     lambda w: few(w, 60).prediction_sets(alpha=0.3)),
    ("so none can be suggested. Pass other rows", lambda w: w.model.suggest_labels(2),
     lambda w: w.model.suggest_labels(2, w.make(30))),
    ("or more, or train with more labelled rows", lambda w: few(w, 20).prediction_sets(alpha=0.01),
     lambda w: few(w, 20).prediction_sets(alpha=0.2)),
    ("such as anndata.AnnData(frame) makes",
     lambda w: dv.DomainVI.setup_anndata(w.make(40).to_df(), **KEYS),
     lambda w: dv.DomainVI.setup_anndata(
         ad.AnnData(w.make(40).to_df(), obs=w.make(40).obs), **KEYS)),
    ("Check the filter that", lambda w: fresh(w, adata=w.make(40)[[], :].copy()),
     lambda w: fresh(w, adata=w.make(40))),
    ("Raise n_latent, or let factors", lambda w: disentangled(w, 5), lambda w: disentangled(w, 12)),
    ("values are to be explained. Name one in classes",
     lambda w: w.model.explain(query(w), target="latent", groupby="truth"),
     lambda w: w.model.explain(
         query(w), target="latent", groupby="truth",
         classes=[w.model.explain(query(w), target="latent").columns[0]])),
    (": use numbers, text, lists, dicts or numpy arrays",
     lambda w: write_model(w.tmp / "m", {}, {"a": pd.Series([1, 2])}),
     lambda w: write_model(w.tmp / "m", {}, {"a": pd.Series([1, 2]).to_numpy()})),
    (": call to_dense() or materialise it first",
     lambda w: write_model(w.tmp / "m", {"a": torch.eye(2).to_sparse()}, {}),
     lambda w: write_model(w.tmp / "m", {"a": torch.eye(2).to_sparse().to_dense()}, {})),
    ("without annbatch: pass an AnnData that is backed", lambda w: dv.DomainVI.setup_annbatch(),
     backed),
    ("Use a smaller learning rate",
     lambda w: pretrained(w, plan_kwargs={"lr": 1e30}, max_epochs=3), pretrained),
    ("is not known. Use 'empirical' or 'uniform'",
     lambda w: pretrained(w, method="scarf", plan_kwargs={"marginal": "x"}),
     lambda w: pretrained(w, method="scarf", plan_kwargs={"marginal": "uniform"})),
    ("reads the pickles of scvi-tools",
     lambda w: fresh(w).train(**RUN, callbacks=[SaveCheckpoint(
         dirpath=w.tmp / "k", monitor="train_loss", load_best_on_end=True)]),
     lambda w: fresh(w).train(**RUN, callbacks=[SaveCheckpoint(
         dirpath=w.tmp / "k", monitor="train_loss")])),
    ("expected a list of column names", lambda w: fresh(w, categorical_covariate_keys="truth"),
     lambda w: fresh(w, categorical_covariate_keys=["truth"])),
    ("There is no file to read. Pass one", lambda w: audit(w), lambda w: audit(w, *"zx")),
    ("Add the rows, or on the command line files, of others", lambda w: of_one_cohort(w, "z"),
     lambda w: of_one_cohort(w, *"zx")),
    ("or name the column that has them", lambda w: of_one_cohort(w, "z"),
     lambda w: command("audit", w.tmp / "z.h5ad", "--labels", "label", "--batch", "cohort")),
    ("of several batch keys each needs two. Leave it out",
     lambda w: dv.DomainVI.setup_anndata(
         with_plate(w), batch_key=["cohort", "plate"], labels_key="label"),
     lambda w: dv.DomainVI.setup_anndata(with_plate(w), batch_key="cohort", labels_key="label")),
    ("Train on the rows of two or more",
     lambda w: of_cohorts(w, 1).diagnose(), lambda w: of_cohorts(w, 2).diagnose()),
    ("Put those of adata where it reads", lambda w: counted(w, np.log1p),
     lambda w: counted(w, abs)),
    ("stands twice among the files", lambda w: audit(w, *"xx"), lambda w: audit(w, *"xz")),
    ("is to be predicted. Name the column of cohorts by --batch",
     lambda w: audit(w, *"xz", labels=["cohort"]),
     lambda w: audit(w, *"xz", labels=["cohort"], batch="label")),
    ("Give it once for all, or once for each", lambda w: audit(w, *"xz", labels=["label"] * 3),
     lambda w: audit(w, *"xz", labels=["label"] * 2)),
    ("Save it as text with columns label and name",
     lambda w: audit(w, *"xz", names=b"label,name\na,\xff\n"),
     lambda w: audit(w, *"xz", names=b"label,name\na,A\n")),
    ("Put names that hold a separator in quotes",
     lambda w: audit(w, *"xz", names=b"label,name\na,A, B\n"),
     lambda w: audit(w, *"xz", names=b'label,name\na,"A, B"\n')),
    ("Put their paths as they are given",
     lambda w: audit(w, "z", "sub/z", names=b"label,name,reference\na,A,z.h5ad\n"),
     lambda w: audit(w, "z", "sub/z",
                     names=b"label,name,reference\na,A,%s/z.h5ad\n" % bytes(w.tmp))),
    ("Name one for all, or one for each, in order", lambda w: joined(w, ["label"] * 3),
     lambda w: joined(w, ["label"] * 2)),
    ("there is nothing to join. Pass data by name",
     lambda w: dv.data.join_references({}, labels_key="label"), lambda w: joined(w, "label")),
    ("are one object. Pass each reference once",
     lambda w: dv.data.join_references(dict.fromkeys("xz", w.make(40)), labels_key="label"),
     lambda w: joined(w, "label")),
    ("Leave it out there and pass it as batch_key",
     lambda w: joined(w, "label", columns=["cohort"]),
     lambda w: joined(w, "label", batch_key="cohort")),
    ("label_map gives",
     lambda w: joined(w, "label", pd.DataFrame({"label": ["a", "a"], "name": ["A", "B"]})),
     lambda w: joined(w, "label", pd.DataFrame({"label": ["a"], "name": ["A"]}))),
    ("Use the labels as obs has them", lambda w: joined(w, "label", {"A": "a"}),
     lambda w: joined(w, "label", {"a": "A"})),
    ("is no unfinished work. Rename it", lambda w: lazy(w, "mine"),
     lambda w: (w.tmp / "out.unfinished").rename(w.tmp / "mine") and lazy(w)),
    ("Rename it, or choose another path", lambda w: lazy(w, "mine"),
     lambda w: lazy(w, name="other")),
    ("is no folder. Remove it, or write to another path",
     lambda w: (w.tmp / "out.unfinished").touch() or lazy(w), lambda w: lazy(w, name="other")),
    ("Remove the folder to begin anew", lambda w: resumed(w, "out"),
     lambda w: shutil.rmtree(w.tmp / "out.unfinished") or lazy(w)),
    ("to begin anew, or choose another path", lambda w: resumed(w, "out"),
     lambda w: lazy(w, name="other")),
    ("Write to a path that all workers see",
     lambda w: place_at(Key(str(w.tmp / "elsewhere"), "")), lambda w: lazy(w)),
]  # fmt: skip


def audit(
    w: World,
    *files: str,
    labels: Any = ("label",),
    batch: str | None = None,
    names: bytes | None = None,
) -> int:
    """Audit files of two cohorts each."""
    paths = [w.tmp / f"{name}.h5ad" for name in files]
    line: list[object] = [*paths]
    for i, path in enumerate(dict.fromkeys(paths)):
        path.parent.mkdir(exist_ok=True)
        w.make(40 + i, hidden=()).write_h5ad(path)
    line += [word for key in labels for word in ("--labels", key)]
    line += [] if batch is None else ["--batch", batch]
    if names is not None:
        (w.tmp / "names.csv").write_bytes(names)
        line += ["--label-map", w.tmp / "names.csv"]
    return command("audit", *line)


def of_one_cohort(w: World, *files: str) -> int:
    """Audit files of one cohort each, in a column."""
    paths = [w.tmp / f"{name}.h5ad" for name in files]
    for i, path in enumerate(paths):
        adata = w.make(40 + i, hidden=())
        adata.obs["study"] = path.stem
        adata.write_h5ad(path)
    return command("audit", *paths, "--labels", "label", "--batch", "study")


def with_plate(w: World) -> ad.AnnData:
    adata = w.make(40)
    adata.obs["plate"] = "p"
    return adata


def of_cohorts(w: World, n: int) -> dv.DomainVI:
    """Train on some cohorts alone."""
    adata = w.make(40, hidden=())
    names = adata.obs["cohort"].astype(str).unique()[:n]
    return trained(w, adata=adata[adata.obs["cohort"].isin(names).to_numpy()].copy())


def joined(w: World, labels_key: Any, label_map: Any = None, **options: Any) -> ad.AnnData:
    references = {name: w.make(40, hidden=()) for name in "xz"}
    return dv.data.join_references(
        references, labels_key=labels_key, label_map=label_map, **options
    )


def lazy(w: World, foreign: str = "", name: str = "out") -> None:
    """Annotate a dask array, where a folder of that name may have a file of someone else."""
    adata = w.make(60)
    adata.X = pytest.importorskip("dask.array").from_array(adata.X)
    if foreign:
        (w.tmp / f"{name}.unfinished").mkdir()
        (w.tmp / f"{name}.unfinished" / foreign).touch()
    w.model.annotate_lazy(adata, w.tmp / name)


def counted(w: World, change: Callable[[Any], Any]) -> None:
    """Predict with a model of counts."""
    counts = w.make(60, counts=True, hidden=())
    model = trained(w, adata=counts.copy())
    model.predict(ad.AnnData(change(counts.X), obs=counts.obs, var=counts.var))


def resumed(w: World, name: str) -> None:
    """Go on, with other values, where every shard was read and none was written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("domainvi.model._lazy._annotate_lazy.write_shard", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lazy(w, name=name)
    changed = SimpleNamespace(**w.__dict__ | {"make": lambda n: with_x(w, lambda x: x + 0.01)})
    lazy(changed, name=name)


def with_uns(w: World, value: object) -> ad.AnnData:
    adata = w.make(30)
    adata.uns["made_by"] = value
    return adata


def with_x(w: World, change: Callable[[Any], Any]) -> ad.AnnData:
    adata = w.make(60)
    return ad.AnnData(change(adata.X), obs=adata.obs, var=adata.var)


def with_layer(w: World) -> ad.AnnData:
    adata = with_x(w, lambda x: x * 0 + 2)
    adata.layers["log"] = w.make(60).X
    return adata


def restore(mdata: mudata.MuData) -> None:
    """The columns of rows that are new to a MuData, which update() leaves empty."""
    for key in KEYS.values():
        mdata.obs[key] = mdata.obs[key].astype(object).fillna("a" if key == "label" else "x")


def trained(w: World, **setup: Any) -> Any:
    model = fresh(w, **setup)
    model.train(**RUN)
    return model


def both(w: World) -> Any:
    model = pretrained(w)
    model.train(**RUN)
    return model


@pytest.fixture(scope="module")
def shared() -> dict[str, Any]:
    return {}


@pytest.fixture
def world(shared: dict[str, Any], make_adata: Callable[..., Any], tmp_path: Path) -> World:
    w = SimpleNamespace(make=make_adata, tmp=tmp_path)
    if not shared:
        shared["adata"] = make_adata(60, hidden=())
        shared["model"] = fresh(w, adata=shared["adata"])
        shared["model"].train(**RUN)
        covariate = make_adata(60, hidden=())
        covariate.obs["site"] = np.where(np.arange(60) % 3, "s", "t")
        shared["covariate"] = fresh(w, adata=covariate, categorical_covariate_keys=["site"])
        shared["covariate"].train(**RUN)
    w.__dict__.update(shared)
    return w


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("domainvi.data._loaders.MIN_STEPS_PER_EPOCH", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def spoken(fragment: str) -> str:
    """The part of a fragment of source code that does not depend on what was given."""
    return max(re.split(r"\{[^}]*\}?|\}", fragment), key=len)


@pytest.mark.slow
@pytest.mark.parametrize(("said", "wrong", "right"), CASES, ids=[c[0][:40] for c in CASES])
def test_the_advice_is_taken_and_leads_on(
    said: str, wrong: Step, right: Step, world: World
) -> None:
    with pytest.raises(DomainVIError, match=re.escape(spoken(said))):
        wrong(world)
    right(world)


# --- nothing is forgotten -------------------------------------------------------------------------

SOURCE = Path(dv.__file__).parent
# Words by which a sentence that advises something begins, also behind a semicolon or colon.
ADVICE = re.compile(
    r"(?:^|[.;:?] |\bor |, )(?:adata\.\S+ = |\.map\()|"
    r"(?:^|[.;:?] )(?:or |for instance )?"
    r"(add|allow|apply|ask|assign|bring|call|change|choose|close|concatenate|continue|convert"
    r"|copy|create|decode|drop|empty|fill|free|give|group|keep|label|leave|load|"
    r"log-transform|lower|make|map|merge|name|pass|pretrain|put|raise|rename|replace|run|save|set|"
    r"spell|start|subset|take|train|translate|unpack|use|write)\b(?!=)",
    re.I,
)
RAISED = {
    "ForkedProcessError", "GeneMatchError", "InputError", "ModelFileError", "NotTrainedError",
    "TrainingError",
}  # fmt: skip

# Advice that is taken by another test, file and name.
ELSEWHERE: dict[str, str] = {
    "Start workers by multiprocessing": "model/test_threads.py",
    "Copy the model again from its source": "io/test_hostile.py",
    "; give each a folder of its own": "files/test_tables.py",
}
# Advice that no test can take, and why.
NOT_TAKEN: dict[str, str] = {
    "lower it, or use more classes": "no arguments are known that lead there",
    "Rename what has '/' in its name": "names are mended before: only a fault of anndata is left",
    "Run: pip install 'domainvi[interpret]'": "a test installs nothing",
    "The SCVI model has no data. Pass adata=": "a model of scvi-tools is loaded with its data",
    "Save fewer or smaller tensors": "it takes more bytes than a test has",
    "Pass long lists as arrays of numbers": "it takes more bytes than a test has",
}


def template(node: ast.expr | None, names: dict[str, str]) -> str:
    """The text of a message, with ``{}`` for what is filled in when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return template(node.value, names) if isinstance(node.value, ast.Name) else "{}"
    if isinstance(node, ast.BinOp):
        return template(node.left, names) + template(node.right, names)
    if isinstance(node, ast.IfExp):
        return f"{template(node.body, names)} / {template(node.orelse, names)}"
    return names.get(node.id, "{}") if isinstance(node, ast.Name) else "{}"


def is_ours(path: Path, error: ast.expr) -> bool:
    """Whether an error is one that users see; those of files are wrapped where they are read."""
    name = ast.unparse(error)
    return name in RAISED or (name == "ValueError" and path.parent.name == "files")


def messages() -> list[tuple[str, str]]:
    """Where each error is raised, and what it says."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            names: dict[str, str] = {}
            steps = (n for n in ast.walk(function) if isinstance(n, ast.Assign | ast.Raise))
            for node in sorted(steps, key=lambda n: n.lineno):
                if isinstance(node, ast.Assign):
                    if isinstance(node.targets[0], ast.Name):
                        names[node.targets[0].id] = template(node.value, names)
                elif isinstance(node.exc, ast.Call) and is_ours(path, node.exc.func):
                    where = f"{path.relative_to(SOURCE).as_posix()}:{node.lineno}"
                    found[where] = template(next(iter(node.exc.args), None), names)
    return list(found.items())


def fragments() -> set[str]:
    """What the tables of advice that is taken say of the messages."""
    taken = {spoken(said) for said, *_ in CASES}
    taken |= {said for _, _, said, _ in test_remedies.FAULTS} | {*test_remedies.TAKEN}
    return taken | {*ELSEWHERE} | {*NOT_TAKEN}


def test_no_advice_is_forgotten() -> None:
    known = fragments()
    forgotten = [
        f"{where}: {text}"
        for where, text in messages()
        if ADVICE.search(text) and not any(said in text for said in known)
    ]
    assert forgotten == [], "Take their advice in CASES, or say in NOT_TAKEN why none can."


def test_tables_of_advice_hold_what_is_said() -> None:
    said = "\n".join(text for _, text in messages())
    tables = [spoken(case[0]) for case in CASES] + [*ELSEWHERE] + [*NOT_TAKEN]
    assert [fragment for fragment in tables if fragment not in said] == []
    assert all((Path(__file__).parents[1] / file).is_file() for file in ELSEWHERE.values())


def test_messages_are_read_from_the_source() -> None:
    found = dict(messages())
    assert len(found) > 250
    assert any(" labels none of the " in text for text in found.values())
