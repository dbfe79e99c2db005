"""Store the outputs of small models of every kind, or compare them with stored ones.

A change of structure must not change a result::

    OMP_NUM_THREADS=1 python scripts/stored_outputs.py store outputs.npz
    OMP_NUM_THREADS=1 python scripts/stored_outputs.py compare outputs.npz

Only public names are used. Values are compared to 1e-6 (absolute, and relative above one), text to
the letter; the largest difference of each model is printed, and the exit status is 1 if one is
larger.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mudata import MuData

import domainvi as dv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

TOLERANCE = 1e-6
# Beginnings of keys that have other names since the outputs were stored: old to new. A name counts
# only where the new one is found.
RENAMED = {
    "history.guard_twin_share": "history.baseline_share",
    "history.target_": "history.phenotype_",
    "history.adversary_loss": "history.independence_loss",
    "history.adversary_weight": "history.penalty_weight",
}
QUIET = {"enable_progress_bar": False}
KEYS = {"batch_key": "domain", "labels_key": "label"}
GROUPS = {"biological": ["tissue", "state", "age"], "technical": ["platform", "study"]}
Outputs = dict[str, np.ndarray]


def cohorts(seed: int = 3, **kwargs: Any) -> AnnData:
    """Two cohorts with planted classes, the second one unlabelled."""
    settings = {"n_obs": 240, "n_genes": 120, "domain_effect": 2.0, "seed": seed, **kwargs}
    return dv.data.synthetic_cohorts(**settings)


def trained(adata: AnnData, *, max_epochs: int = 2, **kwargs: Any) -> dv.DomainVI:
    """Set up and train a model."""
    setup = {k: kwargs.pop(k) for k in ("target_keys", "continuous_covariate_keys") if k in kwargs}
    keys = KEYS | {k: kwargs.pop(k) for k in ("batch_key",) if k in kwargs}
    dv.DomainVI.setup_anndata(adata, **keys, **setup)
    model = dv.DomainVI(adata, **kwargs)
    model.train(max_epochs=max_epochs, **QUIET)
    return model


def written(model: Any, data: Any) -> Outputs:
    """Return what ``annotate`` writes to a copy of the data."""
    copy = data.copy()
    model.annotate(copy)
    out: Outputs = {}
    for column in copy.obs.columns.difference(data.obs.columns):
        out[f"obs.{column}"] = copy.obs[column].to_numpy()
    for key in set(copy.obsm) - set(data.obsm):
        out[f"obsm.{key}"] = np.asarray(copy.obsm[key])
    return out


def transfer_outputs(model: dv.DomainVI, data: Any, query: Any = None) -> Outputs:
    """Latents, probabilities, columns and history of a model, for its own rows and a query."""
    out = {f"history.{k}": v.to_numpy() for k, v in model.history.items()}
    out |= written(model, data)
    out["latent"], out["variance"] = model.get_latent_representation(return_dist=True)
    out["soft"] = model.predict(soft=True).to_numpy()
    out["uncalibrated"] = model.predict(soft=True, calibrated=False).to_numpy()
    if query is not None:
        out |= {f"query.{k}": v for k, v in written(model, query).items()}
    return out


def normal() -> AnnData:
    """Cohorts on a log scale."""
    adata = cohorts()
    adata.X = np.log1p(adata.X)
    return adata


def adversary(kind: str) -> Callable[[], Outputs]:
    """Train a model with one kind of adversary."""
    return lambda: transfer_outputs(trained(cohorts(), adversary=kind), cohorts(), cohorts(5))


def likelihood(kind: str) -> Callable[[], Outputs]:
    """Train a model with one likelihood."""

    def outputs() -> Outputs:
        adata = normal() if kind == "normal" else cohorts()
        model = trained(adata, likelihood=kind)
        decoded = model.get_normalized_expression().to_numpy()
        draws = model.posterior_predictive_sample(n_samples=1).todense()
        return transfer_outputs(model, adata) | {"decoded": decoded, "draws": draws}

    return outputs


def scaling(kind: str) -> Callable[[], Outputs]:
    """Train a model with one way of scaling, for a small query."""
    return lambda: transfer_outputs(trained(cohorts(), scaling=kind), cohorts(), cohorts(5)[:12])


def labelled_target() -> Outputs:
    """Train with some labels in the target, and rows of each class in both."""
    adata = cohorts()
    shown = np.random.default_rng(0).random(adata.n_obs) < 0.4
    truth = adata.obs["label_true"].astype(str)
    adata.obs["label"] = np.where(shown, truth, adata.obs["label"].astype(str))
    return transfer_outputs(trained(adata), adata, cohorts(5))


def several_domains() -> Outputs:
    """Two domain columns, three domains, and a covariate."""
    adata = cohorts(n_domains=3)
    rng = np.random.default_rng(0)
    adata.obs["plate"] = rng.choice(["p", "q"], adata.n_obs)
    adata.obs["depth"] = rng.normal(size=adata.n_obs)
    model = trained(adata, batch_key=["domain", "plate"], continuous_covariate_keys=["depth"])
    return transfer_outputs(model, adata)


def phenotypes() -> Outputs:
    """Further phenotypes: one with classes, one with numbers."""
    adata = cohorts()
    rng = np.random.default_rng(0)
    code = adata.obs["label_true"].astype("category").cat.codes.to_numpy()
    adata.obs["sex"] = np.where(code % 2 == 0, "f", "m")
    adata.obs.loc[rng.random(adata.n_obs) < 0.5, "sex"] = None
    adata.obs["age"] = 40.0 + 5.0 * code + rng.normal(size=adata.n_obs)
    adata.obs.loc[rng.random(adata.n_obs) < 0.5, "age"] = np.nan
    model = trained(adata, target_keys=["sex", "age"])
    out = transfer_outputs(model, adata, cohorts(5))
    out["sex"] = model.predict(target="sex", soft=True).to_numpy()
    out["age"] = model.predict(target="age", soft=True).to_numpy()
    return out | {"explained": model.explain(target="age").to_numpy()}


def modalities() -> Outputs:
    """Two modalities of which rows lack some."""
    adata = cohorts(domain_effect=1.0)
    parts = {"rna": adata[40:, :80].copy(), "mirna": adata[:-60, 80:].copy()}
    for part in parts.values():
        part.obs = part.obs[[]]
    mdata = MuData(parts)
    mdata.obs = adata.obs.loc[mdata.obs_names, ["domain", "label"]]
    dv.DomainVI.setup_mudata(mdata, **KEYS)
    model = dv.DomainVI(mdata)
    model.train(max_epochs=2, **QUIET)
    out = transfer_outputs(model, mdata)
    for name in parts:
        one = MuData({name: mdata[name]})
        one.obs = mdata.obs.loc[one.obs_names, ["domain", "label"]]
        out |= {f"{name}.{k}": v for k, v in written(model, one).items()}
    new = cohorts(5, domain_effect=1.0)
    new.obs["domain"] = "elsewhere"
    query = MuData({"rna": new[:, :80].copy(), "mirna": new[:150, 80:].copy()})
    query.obs = new.obs.loc[query.obs_names, ["domain", "label"]]
    out |= {f"query.{k}": v for k, v in written(model, query).items()}
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        loaded = dv.DomainVI.load(f"{folder}/model")
        out["loaded"] = loaded.predict(query, soft=True).to_numpy()
    return out


def pretrained(method: str) -> Callable[[], Outputs]:
    """Pretrain and train a model."""

    def outputs() -> Outputs:
        adata = cohorts()
        dv.DomainVI.setup_anndata(adata, **KEYS)
        model = dv.DomainVI(adata)
        model.pretrain(method=method, max_epochs=2, **QUIET)
        model.train(max_epochs=2, **QUIET)
        return transfer_outputs(model, adata)

    return outputs


def new_cohort() -> Outputs:
    """Predict a cohort unseen in training that lacks genes, and map one onto the model."""
    adata, model = cohorts(), trained(cohorts())
    query = cohorts(7)[:, 10:].copy()
    query.obs["domain"] = "elsewhere"
    out = transfer_outputs(model, adata, query)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        loaded = dv.DomainVI.load(f"{folder}/model", adata)
        out |= {f"loaded.{k}": v for k, v in written(loaded, query).items()}
    whole = cohorts(7)
    whole.obs["domain"] = "elsewhere"
    dv.DomainVI.prepare_query_anndata(whole, model)
    mapped = dv.DomainVI.load_query_data(whole, model)
    mapped.train(max_epochs=2, **QUIET)
    out |= {f"mapped.{k}": v for k, v in written(mapped, whole).items()}
    return out | {"mapped.latent": mapped.get_latent_representation()}


def explanations() -> Outputs:
    """Attributions by each method, of classes, groups and latents; diagnosis."""
    adata = cohorts()
    model = trained(adata)
    out = {}
    for method in ("deeplift", "integrated_gradients", "gradient_shap"):
        out[method] = model.explain(method=method, n_steps=8).to_numpy()
    out["by_domain"] = model.explain(groupby="domain").to_numpy()
    out["latent"] = model.explain(target="latent").to_numpy()
    out["stability"] = np.array(list(model.explain(stability=1).attrs["stability"].values()))
    out["diagnosis"] = model.diagnose().to_numpy()
    return out


def disentangled(kind: str) -> Callable[[], Outputs]:
    """Train a disentangled model with one kind of independence."""

    def outputs() -> Outputs:
        adata = dv.data.synthetic_factors(n_obs=240, n_genes=60, seed=1)
        groups = {g: [f for f in names if f in adata.obs] for g, names in GROUPS.items()}
        dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        model = dv.DisentangledVI(adata, independence=kind)
        model.train(max_epochs=2, **QUIET)
        out = {f"history.{k}": v.to_numpy() for k, v in model.history.items()} | written(
            model, adata
        )
        out["latent"] = model.get_latent_representation()
        for group in groups:
            out[f"latent.{group}"] = model.get_latent_representation(group=group)
        out["soft"] = model.predict(soft=True).to_numpy()
        out["leakage"] = model.get_leakage().to_numpy()
        out["shares"] = model.get_variance_shares().to_numpy()
        out["reference"] = model.get_normalized_expression(technical="reference").to_numpy()
        out["explained"] = model.explain().to_numpy()
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model")
            loaded = dv.DisentangledVI.load(f"{folder}/model")
            out["loaded"] = loaded.predict(adata, soft=True).to_numpy()
        return out

    return outputs


def audit() -> Outputs:
    """Audit a design."""
    adata = cohorts()
    found = dv.tl.audit_confounding(adata, **KEYS)
    return {"sentence": np.array([str(found.sentence), str(found.verdict)], dtype=object)}


CASES: dict[str, Callable[[], Outputs]] = {
    **{f"adversary.{k}": adversary(k) for k in ("conditional", "marginal", "wasserstein", "none")},
    **{f"likelihood.{k}": likelihood(k) for k in ("normal", "nb", "zinb", "poisson")},
    **{f"scaling.{k}": scaling(k) for k in ("mix", "domain", "global")},
    "labelled_target": labelled_target,
    "several_domains": several_domains,
    "phenotypes": phenotypes,
    "modalities": modalities,
    **{f"pretrained.{k}": pretrained(k) for k in ("scarf", "vime", "byol")},
    "new_cohort": new_cohort,
    "explanations": explanations,
    **{f"disentangled.{k}": disentangled(k) for k in ("adversarial", "covariance", "hsic", "none")},
    "audit": audit,
}


def outputs(wanted: str) -> Iterator[tuple[str, Outputs]]:
    """Yield the outputs of each model whose name starts so."""
    for name, case in CASES.items():
        if name.startswith(wanted):
            yield name, case()


def as_stored(values: Any) -> np.ndarray:
    """Numbers as float64, everything else as text."""
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        return array.astype(np.float64)
    return np.asarray(pd.Series(array.ravel()).astype(str), dtype=str).reshape(array.shape)


def store(path: Path, wanted: str) -> int:
    """Write all outputs."""
    np.savez_compressed(
        path,
        **{f"{n}/{k}": as_stored(v) for n, out in outputs(wanted) for k, v in out.items()},
    )
    return 0


def difference(old: np.ndarray, new: np.ndarray) -> float:
    """Largest difference, relative above one; infinite where text or shape differ."""
    if old.shape != new.shape or old.dtype.kind != new.dtype.kind:
        return np.inf
    if old.dtype.kind == "U":
        return 0.0 if (old == new).all() else np.inf
    if (np.isnan(old) != np.isnan(new)).any():
        return np.inf
    gap = np.abs(old - new) / np.maximum(np.abs(old), 1.0)
    return float(np.nanmax(gap, initial=0.0)) if not np.isnan(gap).all() else 0.0


def compare(path: Path, wanted: str) -> int:
    """Compare all outputs with stored ones."""
    wrong = 0
    with np.load(path) as stored:
        for name, out in outputs(wanted):
            before = {}
            for key in stored:
                model, _, output = key.partition("/")
                if model == name:
                    others = [output.replace(old, new) for old, new in RENAMED.items()]
                    found = next((o for o in others if o in out), output)
                    before[found] = stored[key]
            gaps = {k: difference(old, as_stored(out[k])) for k, old in before.items() if k in out}
            gaps |= dict.fromkeys(set(before) ^ set(out), np.inf)
            bad = sorted(k for k, gap in gaps.items() if gap > TOLERANCE)
            wrong += bool(bad)
            print(
                f"{name:28s} {max(gaps.values()):.1e} {'DIFFERS: ' + ', '.join(bad) if bad else ''}"
            )
    return int(wrong > 0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    command, path, *names = sys.argv[1:]
    sys.exit({"store": store, "compare": compare}[command](Path(path), names[0] if names else ""))
