"""Latents and class scores of rows, of the training cohorts or of others."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from domainvi.data import row_blocks, to_tensors
from domainvi.errors import InputError
from domainvi.module import OPTIONAL_PARTS, RowReader
from domainvi.train import extend_statistics, size_factors

from ._codes import codes
from ._rows import RowsMixin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray
    from scvi.dataloaders import AnnDataLoader

    from domainvi.data import PreparedAnnData
    from domainvi.module import Embedding, ScalingTables

    Embedded = tuple[NDArray[np.int64], torch.Tensor, Embedding, list[torch.Tensor]]

logger = logging.getLogger(__name__)

# Values of the rows that are read at once; fewer where their zeros are stored.
INFERENCE_VALUES = 2**23
DENSE_VALUES = 2**21


@dataclass(frozen=True)
class RowOutputs:
    """What the model says of rows.

    Parameters
    ----------
    mean, variance
        Of ``q(z | x)``, shape ``(n_rows, n_latent)``; the variance ``(n_rows, 0)`` where it is not
        needed.
    logits
        Uncalibrated log-probabilities of the classes, shape ``(n_rows, n_classes)``.
    network, linear
        Those of the network and of the linear members alone.
    reference
        Un-adapted components, shape ``(n_rows, 30)``; ``(n_rows, 0)`` where they are not needed.
    latent
        The mean, centred by class and domain where the model centres.
    target_network, target_linear
        Raw scores of the further phenotypes, shape ``(n_rows, n_outputs)``.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    logits: NDArray[np.float32]
    network: NDArray[np.float32]
    linear: NDArray[np.float32]
    reference: NDArray[np.float32]
    latent: NDArray[np.float32]
    target_network: NDArray[np.float32]
    target_linear: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> RowOutputs:
        """Return some of the rows."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


class InferenceMixin(RowsMixin):
    """Encode rows with the scaling of their own cohort."""

    def _labels(self, work: PreparedAnnData) -> NDArray[np.int64]:
        """Class codes of all rows, -1 where unlabelled."""
        label = codes(work.manager, REGISTRY_KEYS.LABELS_KEY)
        return np.where(label < len(self.classes), label, -1)

    def _outputs(
        self,
        adata: AnnData | MuData | None,
        indices: Sequence | NDArray | None,
        batch_size: int | None,
        *,
        wanted: tuple[str, ...] = (),
        centre: bool = True,
    ) -> RowOutputs:
        """Run encoder and classifiers; rows come back in the order asked for."""
        self._check_trained()
        work = self._validate_anndata(adata)
        rows = self._row_numbers(work, indices)
        forward = partial(self._forward, work, batch_size=batch_size, wanted=wanted)
        if self.centring_ is None or not centre:
            return forward(rows)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        if (domain[rows] < self._n_centred).all():
            return self._centred(forward(rows), domain[rows])
        # A new cohort is centred by all of its rows, whichever of them are asked for.
        return self._centred(forward(None), domain).take(rows)

    @property
    def _n_centred(self) -> int:
        """Domains whose centring is known; later ones are centred by all of their rows."""
        return 0 if self.centring_ is None else len(self.centring_.shift)

    def _centred(self, out: RowOutputs, domain: NDArray[np.int64]) -> RowOutputs:
        if self.centring_ is None:
            return out
        return replace(out, latent=self.centring_.apply(out.mean, np.exp(out.logits), domain))

    @torch.inference_mode()
    def _forward(
        self,
        work: PreparedAnnData,
        rows: NDArray[np.int64] | None,
        batch_size: int | None,
        *,
        wanted: tuple[str, ...] = OPTIONAL_PARTS,
    ) -> RowOutputs:
        rows = np.arange(work.n_obs) if rows is None else rows
        n, k = self.module.n_latent, len(self.classes)
        n_variance = n if "variance" in wanted else 0
        n_reference = len(self.module.reference_origin) if "reference" in wanted else 0
        n_scores = sum(t.n_outputs for t in self.targets)
        widths = (n, n_variance, k, k, k, n_reference, n_scores, n_scores)
        out = [np.empty((len(rows), width), dtype=np.float32) for width in widths]
        self.module.eval()
        for places, domain, e, scores in self._embedded(work, rows, batch_size, wanted):
            logits = self.module.ensemble(e.network, e.linear, domain)
            parts = (e.mean, e.variance, logits, e.network, e.linear, e.reference, *scores)
            # Without targets there are no scores to write.
            for whole, part in zip(out, parts, strict=False):
                whole[places] = part.cpu().numpy()
        names = [f.name for f in fields(RowOutputs) if f.name != "latent"]
        return RowOutputs(**dict(zip(names, out, strict=True)), latent=out[0])

    def _embedded(
        self,
        work: PreparedAnnData,
        rows: NDArray[np.int64],
        batch_size: int | None,
        wanted: tuple[str, ...],
    ) -> Iterator[Embedded]:
        """Yield embeddings of some rows at a time: places in ``rows``, domain codes, outputs."""
        reader = RowReader(self.module, self._scaling_tables(work), wanted=wanted)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        n_values = DENSE_VALUES if isinstance(work.X, np.ndarray) else INFERENCE_VALUES
        size = batch_size or max(256, n_values // work.n_vars)
        factors = size_factors(work, rows)
        for places, d, block in row_blocks(work.X, rows, domain, size):
            factor = None if factors is None else factors.numpy()[places]
            e = reader.embed(block, d, factor)
            scores = reader.score_targets(e.mean, block, d, factor) if self.targets else []
            yield places, torch.full((len(places),), d, device=e.mean.device), e, scores

    def _scaling_tables(self, work: PreparedAnnData) -> ScalingTables | None:
        """Tables for rows that the stored ones do not serve: new domains, missing genes."""
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        unseen = np.unique(domain[domain >= len(self.domains)])
        if not unseen.size and work.gene_mask.all():
            return None
        tables, notes = extend_statistics(self.module, work, domain)
        for code, note in zip(unseen, notes, strict=True):
            name = work.manager.get_state_registry(REGISTRY_KEYS.BATCH_KEY).categorical_mapping
            work.scaling_notes[str(name[code])] = note
            logger.info("Cohort %r was not in training: %s.", str(name[code]), note)
        return tables

    def _make_data_loader(self, adata: PreparedAnnData, *args: Any, **kwargs: Any) -> AnnDataLoader:
        """Load rows for methods that decode, and so need a domain that the decoder knows."""
        domain = codes(adata.manager, REGISTRY_KEYS.BATCH_KEY)
        if (domain >= len(self.domains)).any() or not adata.gene_mask.all():
            msg = (
                "adata has domains or lacks genes that were not in training, and this method needs "
                "the decoder. Use load_query_data(adata, model) and train on the query first."
            )
            raise InputError(msg)
        kwargs.setdefault("collate_fn", to_tensors)
        return super()._make_data_loader(adata, *args, **kwargs)  # type: ignore[misc]

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        return_dist: bool = False,
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Domain-invariant latents.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``. Genes are matched by name, and
            cohorts that were not in training are welcome.
        indices
            Row numbers or a mask; all rows if ``None``. Any order; rows come back in it.
        give_mean
            The mean of ``q(z | x)``, centred by class and domain where the model centres
            (:class:`~domainvi.linear.Centring`); otherwise one draw around it.
        batch_size
            Rows at a time.
        return_dist
            Return that mean and the variance of ``q(z | x)``.

        Returns
        -------
        Array of shape ``(n_rows, n_latent)``, float32; two of them with ``return_dist``.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        GeneMatchError
            If too few genes match.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=60, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.get_latent_representation().shape
        (200, 32)
        """
        wanted = ("variance",) if return_dist or not give_mean else ()
        out = self._outputs(adata, indices, batch_size, wanted=wanted)
        if return_dist:
            return out.latent, out.variance
        if give_mean:
            return out.latent
        draw = np.random.default_rng(self.seed).standard_normal(out.latent.shape)
        return (out.latent + np.sqrt(out.variance) * draw).astype(np.float32)
