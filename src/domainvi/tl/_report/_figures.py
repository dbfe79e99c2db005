"""Draw the plots of the report, as images inside the file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData

from domainvi import _keys as keys
from domainvi._compat import SETUP_ARGS_KEY
from domainvi.data import rows_are_alike, select_matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from domainvi import DomainVI

# More points are not told apart in the layout of latents, and take long.
MAX_POINTS = 10_000


def figures(model: DomainVI, adata: AnnData, facts: dict[str, Any]) -> dict[str, str]:
    """Draw what there is to draw, as data addresses by name."""
    from domainvi import pl

    wanted: dict[str, Callable[[], Any]] = {}
    if (audit := model.fitted.audit) is not None:
        wanted["audit"] = lambda: pl.audit(audit, diagnosis=facts["diagnosis"], show=False)
    if model.history_:
        wanted["training"] = lambda: pl.training_curves(model, show=False)
    batch, predicted = facts["batch_key"], keys.prediction(facts["labels_key"])
    layer = model.registry_[SETUP_ARGS_KEY]["layer"]
    differ = adata.n_obs > 30 and not rows_are_alike(select_matrix(adata, layer))
    if batch in adata.obs and differ:
        some = thinned(adata)
        wanted["latent"] = lambda: pl.latent(some, [batch, predicted], layer=layer, show=False)
    compared = facts["comparison"]
    if compared is not None and compared["scores"]:
        unlabelled = model.registry_[SETUP_ARGS_KEY]["unlabeled_category"]
        named = adata.obs.assign(**{predicted: compared["predicted"]})[compared["rows"]]
        wanted["confusion"] = lambda: pl.confusion(
            AnnData(obs=named),
            compared["truth"],
            predicted,
            unlabeled_category=unlabelled,
            show=False,
        )
    wanted["confidence"] = lambda: confidence(adata[facts["about"]], facts["labels_key"])
    return {name: as_address(draw, vector=name != "latent") for name, draw in wanted.items()}


def thinned(adata: AnnData) -> AnnData:
    """Take a random part of the rows where there are very many."""
    if adata.n_obs <= MAX_POINTS:
        return adata
    rows = np.random.default_rng(0).choice(adata.n_obs, MAX_POINTS, replace=False)
    return adata[np.sort(rows)].to_memory()


def confidence(adata: AnnData, key: str) -> Any:
    """Draw how sure the predictions are, class by class."""
    obs = adata.obs
    grouped = obs[keys.confidence(key)].groupby(obs[keys.prediction(key)], observed=True)
    groups = {str(name): values for name, values in grouped if len(values)}
    _, axes = plt.subplots(figsize=(6, 0.4 * len(groups) + 1), layout="constrained")
    axes.boxplot(
        list(groups.values()), orientation="horizontal", tick_labels=list(groups), widths=0.6
    )
    axes.invert_yaxis()
    axes.set(xlabel="confidence", xlim=(0, 1.02))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def as_address(draw: Callable[[], Any], *, vector: bool) -> str:
    """Draw on a figure of its own, and return it as a data address."""
    buffer = io.BytesIO()
    before = set(plt.get_fignums())
    with plt.rc_context({"svg.hashsalt": "domainvi", "svg.fonttype": "path"}):
        axes = np.ravel(np.asarray(draw(), dtype=object))[0]
        figure = axes.get_figure(root=True)
        form = "svg" if vector else "png"
        about = {"Date": None} if vector else None
        figure.savefig(buffer, format=form, dpi=130, bbox_inches="tight", metadata=about)
    for number in set(plt.get_fignums()) - before:
        plt.close(number)
    kind = "svg+xml" if vector else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
