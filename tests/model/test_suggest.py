"""Which rows a model suggests to label next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from domainvi.errors import InputError

from .conftest import fit

if TYPE_CHECKING:
    from anndata import AnnData

    import domainvi as dv


def test_rows_without_a_label_are_suggested(model: dv.DomainVI, adata: AnnData) -> None:
    found = model.suggest_labels(n=10)
    assert found["rank"].tolist() == list(range(1, 11))
    assert (adata.obs.loc[found.index, "label"] == "Unknown").all()
    assert (found["cohort"] == "domain_1").all()
    predicted = pd.Series(model.predict(), index=adata.obs_names)
    assert found["predicted"].tolist() == predicted[found.index].tolist()
    assert set(found["predicted"][:4]) == set(model.classes)
    assert found["predicted"].value_counts().between(2, 3).all()
    assert found["confidence"].between(0.25, 1).all()


def test_the_order_of_rows_does_not_matter(model: dv.DomainVI, adata: AnnData) -> None:
    rows = np.random.default_rng(0).permutation(adata.n_obs)
    pd.testing.assert_frame_equal(
        model.suggest_labels(n=8, adata=adata[rows].copy()),
        model.suggest_labels(n=8, adata=adata.copy()),
        atol=1e-4,
    )


def test_other_rows(model: dv.DomainVI, adata: AnnData) -> None:
    query = adata[adata.obs["label"] == "Unknown"][:12].copy()
    query.obs = query.obs[["domain"]].assign(domain="hospital")
    found = model.suggest_labels(n=20, adata=query)
    assert sorted(found.index) == sorted(query.obs_names)
    assert (found["cohort"] == "hospital").all()


def test_what_cannot_be_suggested(adata: AnnData, model: dv.DomainVI) -> None:
    labelled = adata[adata.obs["label"] != "Unknown"].copy()
    with pytest.raises(InputError, match=f"All {labelled.n_obs} rows have a label"):
        model.suggest_labels(adata=labelled)
    for n in (0, -1, 1.5):
        with pytest.raises(InputError, match=f"n={n!r} must be a whole number"):
            model.suggest_labels(n=n)


def test_suggested_labels_can_be_written_and_learnt(model: dv.DomainVI, adata: AnnData) -> None:
    work, found = adata.copy(), model.suggest_labels(n=12)
    labels = work.obs["label"].astype(str)
    labels[found.index] = work.obs["label_true"].astype(str)[found.index]
    work.obs["label"] = labels
    again = fit(work, max_epochs=1)
    assert not set(again.suggest_labels(n=12).index) & set(found.index)
