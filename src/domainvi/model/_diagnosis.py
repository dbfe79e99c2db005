"""How well domains can still be told apart within each class, before and after alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from domainvi.errors import InputError
from domainvi.metrics import domain_probe

from ._inference import labels_of, outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._domainvi import DomainVI


def diagnose(model: DomainVI, seed: int) -> pd.DataFrame:
    """Probe components and latents within classes; see :meth:`domainvi.DomainVI.diagnose`."""
    if len(model.domains) == 1:
        msg = "diagnose compares domains, and the model has one. Set it up with a batch_key."
        raise InputError(msg)
    prepared = model._validate_anndata()
    out = outputs(model, prepared, None, wanted=("reference",))
    domain, label = prepared.domain, labels_of(model, prepared)
    label = np.where(label >= 0, label, out.logits.argmax(axis=1))
    spaces = {"input": out.reference, "latent": out.latent}
    probes = {k: domain_probe(z, domain, label, seed=seed) for k, z in spaces.items()}
    rows: dict[str, dict[str, float]] = {}
    for c in sorted(probes["input"].per_class):
        inside = label == c
        chance = 1 / len(np.unique(domain[inside]))
        row = {"n_rows": float(inside.sum()), "chance": chance}
        for name, z in spaces.items():
            row[f"probe_{name}"] = probes[name].per_class[c]
            row[f"shift_{name}"] = centroid_shift(z[inside], domain[inside])
        rows[model.classes[c]] = row
    rows["mean"] = {
        "n_rows": float(len(label)),
        "chance": probes["latent"].within_class_chance,
        **{f"probe_{k}": probe.within_class for k, probe in probes.items()},
        **{f"a_distance_{k}": probe.within_class_a_distance for k, probe in probes.items()},
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def centroid_shift(z: NDArray[np.float32], domain: NDArray[np.int64]) -> float:
    """Largest distance between domain centroids, in root-mean-square within-domain deviations."""
    centroids = {d: z[domain == d].mean(axis=0) for d in np.unique(domain)}
    residual = z - np.stack([centroids[d] for d in domain])
    spread = max(float(np.sqrt(np.mean(np.square(residual)))), 1e-12)
    points = np.stack(list(centroids.values()))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distance.max()) / (spread * np.sqrt(z.shape[1]))
