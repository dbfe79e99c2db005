"""An annotated object whose figures can be worked out by hand, and no figure left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def annotated() -> ad.AnnData:
    """Twenty labelled rows of ``x`` (15 a, 5 b) and twenty of ``y``, as `annotate` leaves them.

    Of ``y``, ten are a, all found at confidence .95; ten are b, of which six are found at .65 and
    four taken for a at .85.
    """
    truth = np.repeat(["a", "b", "a", "b"], [15, 5, 10, 10])
    guess = truth.copy()
    guess[-4:] = "a"
    confidence = np.repeat([0.99, 0.95, 0.65, 0.85], [20, 10, 6, 4])
    prob_a = np.where(guess == "a", confidence, 1 - confidence)
    obs = pd.DataFrame(
        {
            "cohort": pd.Categorical(np.repeat(["x", "y"], 20)),
            "kind": pd.Categorical(np.where(np.arange(40) < 20, truth, "Unknown")),
            "truth": truth,
            "kind_pred": pd.Categorical(guess, categories=["a", "b", "Unknown"]),
        },
        index=[f"row{i}" for i in range(40)],
    )
    adata = ad.AnnData(np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32), obs=obs)
    adata.obsm["kind_prob"] = np.column_stack([prob_a, 1 - prob_a]).astype(np.float32)
    adata.obsm["X_domainvi"] = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    adata.uns["domainvi"] = {
        "classes": np.array(["a", "b"], dtype=object),
        "labels_key": "kind",
        "batch_key": "cohort",
        "unlabeled_category": "Unknown",
    }
    return adata
