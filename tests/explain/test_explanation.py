"""Explanations: complete, right where the truth is planted or known, bounded, and written well."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import hypergeom

import domainvi as dv
from domainvi.errors import InputError, NotTrainedError
from domainvi.explain import Head, log_batches
from domainvi.explain._references import first_pass
from domainvi.explain._sums import contrasts, score_contrast
from domainvi.model._phenotypes import head_of

from .conftest import QUIET, fit, small_cohorts

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

METHODS = ("deeplift", "integrated_gradients", "gradient_shap")

# Genes that the literature names, as far as the bundled data have them. KIRC: targets of HIF after
# the loss of VHL (Kaelin, Nat Rev Cancer 2008) and the angiogenesis signature (McDermott et al.,
# Nat Med 2018). CRC: targets of Wnt in the intestine (Van der Flier et al., Gastroenterology 2007),
# guanylate cyclase C (Carrithers et al., PNAS 1996), EGFR ligands (Khambata-Ford et al., J Clin
# Oncol 2007). LUAD: proteins and regulators of the alveolar epithelium (Travaglini et al., Nature
# 2020) and ERBB3 (TCGA, Nature 2014). KIRP: MET (TCGA, N Engl J Med 2016) and simple keratins
# (Skinnider et al., Am J Surg Pathol 2005).
MARKERS = {
    "KIRC": "CA9 VEGFA EGLN3 CCND1 SLC2A1 TGFA PDGFB CXCR4 KDR CD34",
    "CRC": "AXIN2 LEF1 RNF43 NKD1 SP5 EPHB2 EPHB3 TDGF1 EREG AREG GUCY2C TFF3",
    "LUAD": "ABCA3 AQP5 SCNN1A GATA6 FOXA1 PIGR ERBB3",
    "KIRP": "MET KRT19 KRT18 KRT8",
}


def precision(genes: pd.DataFrame, adata: AnnData) -> dict[str, float]:
    """Share of planted markers among as many top genes, by class."""
    out = {}
    for name in genes:
        n = int((adata.var["marker_of"] == name).sum())
        top = genes[name].nlargest(n).index
        out[name] = float((adata.var.loc[top, "marker_of"] == name).mean())
    return out


@pytest.mark.parametrize("method", METHODS)
def test_planted_markers_come_first(method: str, model: dv.DomainVI, adata: AnnData) -> None:
    found = precision(model.explain(method=method, n_steps=16), adata)
    assert list(found) == model.fitted.order.classes
    assert min(found.values()) >= 0.9


@pytest.mark.parametrize("baseline", ["domain", "global", "zero"])
def test_deeplift_is_complete(baseline: str, model: dv.DomainVI) -> None:
    genes = model.explain(baseline=baseline)
    assert genes.attrs["incompleteness"] < 1e-3
    assert min(genes.attrs["score"].values()) > 0.1


def test_sums_are_differences_of_what_predict_says(model: dv.DomainVI) -> None:
    """One row at a time, with the scores taken from `predict` and not from the explanation."""
    zero = np.zeros((1, len(model.genes)), dtype=np.float32)
    none = ad.AnnData(zero, var=model._adata.var[[]])
    none.obs["domain"] = model._adata.obs["domain"].to_numpy()[:1]
    none.obs.index = ["none"]
    before = np.log(model.predict(none, soft=True, calibrated=False)).iloc[0]
    after = np.log(model.predict(soft=True, calibrated=False)).iloc[0]
    first, second = after.nlargest(2).index
    expected = (after[first] - after[second]) - (before[first] - before[second])
    for method in METHODS[:2]:
        genes = model.explain(method=method, indices=[0], baseline="zero")
        assert genes[first].sum() == pytest.approx(expected, abs=1e-3)
        assert genes.drop(columns=first).isna().all(axis=None)


def test_integrated_gradients_is_complete_where_the_path_has_kinks(model: dv.DomainVI) -> None:
    genes = model.explain(method="integrated_gradients", indices=range(3), baseline="zero")
    assert genes.attrs["incompleteness"] < 1e-3


def test_gradient_shap_agrees_and_repeats(model: dv.DomainVI) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    rows = range(0, 240, 4)
    first, second = (model.explain(method="gradient_shap", indices=rows, n_steps=16) for _ in "ab")
    assert first.equals(second)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    exact = model.explain(method="integrated_gradients", indices=rows, n_steps=16)
    assert first.corrwith(exact, method="pearson").min() > 0.9


def test_batches_do_not_matter(model: dv.DomainVI) -> None:
    whole, parts = model.explain(), model.explain(batch_size=7)
    np.testing.assert_allclose(whole, parts, atol=1e-5)


def test_groups_and_classes(model: dv.DomainVI, adata: AnnData) -> None:
    adata.obs["odd"] = np.where(np.arange(adata.n_obs) % 2, "odd", "even")
    adata.obs.loc[adata.obs_names[:10], "odd"] = np.nan
    by_group = model.explain(groupby="odd")
    assert by_group.attrs["n_rows"] == {"even": 115, "odd": 115}
    called = model.predict()
    rows = np.flatnonzero((called == "class_1") & (adata.obs["odd"] == "odd"))
    one = model.explain(groupby="odd", classes=["class_1"])
    assert one.attrs["n_rows"]["odd"] == len(rows)
    np.testing.assert_allclose(one["odd"], model.explain(indices=rows)["class_1"], atol=1e-6)
    assert list(model.explain(classes=["class_2", "class_0"])) == ["class_2", "class_0"]


def test_the_domain_baseline_takes_the_domain_out() -> None:
    """Genes that tell the cohort get more of the attribution when cohorts are compared."""
    model = fit(small_cohorts(domain_effect=3.0, n_obs=400), scaling="global", adversary="none")
    shares = {
        b: model.explain(baseline=b, groupby="domain").attrs["tied_share"]
        for b in ("domain", "global")
    }
    assert all(shares["global"][d] > shares["domain"][d] + 0.02 for d in model.domains), shares


def test_latents(model: dv.DomainVI) -> None:
    genes = model.explain(target="latent", classes=["latent_0", "latent_5"])
    assert list(genes) == ["latent_0", "latent_5"]
    assert genes.attrs["incompleteness"] < 1e-3
    # Sums are distances: rows on both sides of the baseline count.
    assert min(genes.attrs["score"].values()) > 0


def test_leading_genes_that_are_low_are_named(model: dv.DomainVI) -> None:
    """In the rows of a class, against the mean of the class means of their domain."""
    genes, prepared = model.explain(), model._validate_anndata()
    ((u, _),) = log_batches(model.module, prepared, np.arange(prepared.n_obs), prepared.n_obs)
    u = pd.DataFrame(u.numpy(), columns=genes.index)
    called, domain = model.predict(), prepared.domain
    means = u.groupby([domain, called]).mean().groupby(level=0).mean()
    for name in genes:
        rows = called == name
        change = (u[rows] - means.loc[domain[rows]].to_numpy()).mean()
        low = set(genes.attrs["low"][name])
        leading = genes[name].nlargest(50).index
        far = change[leading][change[leading].abs() > 0.1]
        assert set(far.index[far < 0]) <= low <= set(leading)
        assert not low & set(far.index[far > 0])


def test_a_class_without_rows_has_no_genes(model: dv.DomainVI) -> None:
    called = model.predict()
    rows = np.flatnonzero(called != model.classes[0])
    genes = model.explain(indices=rows)
    assert genes[model.classes[0]].isna().all()
    assert genes.attrs["low"][model.classes[0]] == []
    assert genes.attrs["n_rows"][model.classes[0]] == 0


@pytest.mark.slow
def test_stability() -> None:
    model = fit(small_cohorts(), max_epochs=20)
    found = model.explain(stability=1).attrs["stability"]
    assert set(found) == set(model.classes)
    assert all(0.3 < v < 0.999 for v in found.values())


def test_new_cohort_with_missing_genes(model: dv.DomainVI, tmp_path: Path) -> None:
    query = small_cohorts(seed=3)[:60, 100:0:-1].copy()
    query.obs["domain"] = "new"
    query.var_names = [*query.var_names[:-1], "unheard of"]
    genes = model.explain(adata=query, write_varm=True)
    missing = sorted(set(model.genes) - set(query.var_names))
    assert (genes.loc[missing].dropna(axis=1) == 0).all(axis=None)
    assert sum(genes.attrs["n_rows"].values()) == 60
    assert "tied_share" not in genes.attrs
    query.write_h5ad(tmp_path / "query.h5ad")
    back = ad.read_h5ad(tmp_path / "query.h5ad").varm["label_attribution"]
    shared = [g for g in query.var_names if g != "unheard of"]
    np.testing.assert_allclose(back.loc[shared], genes.loc[shared], rtol=1e-5)
    assert back.loc["unheard of"].isna().all()


def test_names_with_a_slash_can_be_written(model: dv.DomainVI, tmp_path: Path) -> None:
    query = small_cohorts()[:40].copy()
    query.obs["group"] = np.where(np.arange(40) % 2, "a/b", "c")
    genes = model.explain(adata=query, groupby="group", write_varm="mine")
    assert list(genes) == ["a/b", "c"]
    query.write_h5ad(tmp_path / "query.h5ad")
    assert list(ad.read_h5ad(tmp_path / "query.h5ad").varm["mine"]) == ["a|b", "c"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "lime"}, "method='lime' is not known. Use one of deeplift"),
        ({"baseline": "median"}, "baseline='median'"),
        ({"baseline": np.zeros(3)}, r"shape \(3,\); expected 120"),
        ({"classes": ["class_9"]}, "class_9 not known. Use some of class_0"),
        ({"classes": []}, "must name some of"),
        ({"groupby": "site"}, "'site' is not a column"),
        ({"groupby": "domain", "target": "latent"}, "Name one in classes"),
        ({"target": "age"}, "target='age' is not known"),
        ({"n_steps": 0}, "n_steps=0 must be at least 1"),
        ({"stability": -1}, "stability=-1"),
    ],
)
def test_bad_arguments(arguments: dict, message: str, model: dv.DomainVI) -> None:
    with pytest.raises(InputError, match=message):
        model.explain(**arguments)


def test_untrained(adata: AnnData) -> None:
    dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
    with pytest.raises(NotTrainedError):
        dv.DomainVI(adata).explain()


def test_captum_is_asked_for(model: dv.DomainVI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(InputError, match=r"pip install 'domainvi\[interpret\]'"):
        model.explain()


def test_explaining_changes_nothing(model: dv.DomainVI, adata: AnnData) -> None:
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    wanted = {n: p.requires_grad for n, p in model.module.named_parameters()}
    keys = (set(adata.varm), set(adata.uns), set(adata.obsm))
    model.explain()
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    assert {n: p.requires_grad for n, p in model.module.named_parameters()} == wanted
    assert all(p.grad is None or not p.grad.any() for p in model.module.parameters())
    assert (set(adata.varm), set(adata.uns), set(adata.obsm)) == keys


def test_first_pass_by_hand() -> None:
    u = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 3.0], [6.0, 3.0]])
    domain, label = torch.tensor([0, 0, 1, 1]), torch.eye(2)[[0, 1, 0, 1]]
    batches = [(u[:3], domain[:3]), (u[3:], domain[3:])]
    parts = iter([label[:3], label[3:]])
    head = Head("label", ["a", "b"], lambda *_: next(parts), True, 2, ["a", "b"])
    found = first_pass(batches, head, 2)
    np.testing.assert_array_equal(found.balanced_means(), [[1, 1], [5, 3]])
    np.testing.assert_array_equal(found.overall_mean(), [3, 2])
    # Within classes the domain explains all of both genes; the first comes first.
    np.testing.assert_array_equal(found.tied_to_domain(), [True, False])


def test_contrasts_are_with_the_runner_up(model: dv.DomainVI) -> None:
    prepared = model._validate_anndata()
    head = head_of(model, prepared, None)
    u, domain = next(log_batches(model.module, prepared, np.arange(8), 8))
    (contrast,) = contrasts(head, u, domain, torch.ones(4, dtype=torch.bool), None)
    asked = score_contrast(head)(u, domain, contrast.first, contrast.second).detach().numpy()
    p = np.log(model.predict(indices=range(8), soft=True, calibrated=False).to_numpy())
    top = np.sort(p, axis=1)
    np.testing.assert_allclose(asked, top[:, -1] - top[:, -2], atol=1e-5)


def test_known_markers_of_cancer_types() -> None:
    adata = dv.data.cohorts()
    dv.DomainVI.setup_anndata(adata, batch_key="cohort", labels_key="cancer_type")
    model = dv.DomainVI(adata)
    model.train(max_epochs=5, **QUIET)
    genes = model.explain()
    assert genes.attrs["incompleteness"] < 1e-3
    known = {name: set(listed.split()) for name, listed in MARKERS.items()}
    assert all(listed <= set(genes.index) for listed in known.values())
    hits = {name: len(known[name] & set(genes[name].nlargest(50).index)) for name in known}
    p = {name: chance(hits[name], len(known[name]), 1) for name in known}
    assert chance(sum(hits.values()), sum(map(len, known.values())), 4) < 0.01
    assert p["CRC"] < 0.01
    assert p["KIRC"] < 0.01  # The bundled genes have few markers of the other two.


def chance(hits: int, listed: int, n_types: int) -> float:
    """Probability of as many hits, when the top 50 of 1500 genes of each type are drawn."""
    return float(hypergeom.sf(hits - 1, 1500 * n_types, listed, 50 * n_types))
