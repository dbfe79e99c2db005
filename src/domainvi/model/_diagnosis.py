"""What alignment did to each class: a report after training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scvi import REGISTRY_KEYS

from domainvi.metrics import domain_probe

from ._codes import codes
from ._inference import InferenceMixin

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DiagnosisMixin(InferenceMixin):
    """``diagnose``."""

    def diagnose(self, seed: int = 0) -> pd.DataFrame:
        """Report how well domains can still be told apart within each class.

        A fresh probe (:func:`domainvi.metrics.domain_probe`), never the adversary of training,
        predicts the domain of held-out rows of one class, from the un-adapted components and from
        the latents. Unlabelled rows count under their predicted class.

        Parameters
        ----------
        seed
            Of the folds.

        Returns
        -------
        One row a class that two domains or more have, and ``"mean"``. Columns: ``n_rows``;
        ``probe_input`` and ``probe_latent``, balanced accuracy of the domain before and after;
        ``chance``, that of guessing;
        ``a_distance_input`` and ``a_distance_latent``, the proxy A-distance (of the mean only);
        ``shift_input`` and ``shift_latent``, largest distance between domain centroids in
        within-class standard deviations.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> found = model.diagnose()
        >>> found.index[-1], {"probe_latent", "chance"} <= set(found)
        ('mean', True)
        """
        work = self._validate_anndata()
        out = self._outputs(work, None, None, wanted=("reference",))
        domain, label = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), self._labels(work)
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
            rows[self.classes[c]] = row
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
