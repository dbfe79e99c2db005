"""Embeddings of many rows at once: blocks of one domain, sparse ones as they are."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from domainvi.data import dense_rows
from domainvi.nn import FoldedMaps, class_log_softmax

from ._domain_vae import Embedding
from ._phenotype_heads import PhenotypeScores, heads_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._domain_vae import DomainVAE
    from ._modality import ScalingStatistics

# Parts of an embedding that cost time and are seldom needed.
OPTIONAL_PARTS = ("variance", "reference")
# Values of folded maps that are kept for the next block: 128 MB in single precision.
KEPT_VALUES = 2**25
# Values that are standardised at once for the auxiliary phenotypes.
PHENOTYPE_VALUES = 2**22


class RowReader:
    """Embed blocks of rows of one domain, as :meth:`DomainVAE.embed` does, but faster.

    Parameters
    ----------
    module
        A module of one modality, in evaluation mode.
    statistics
        Centre and scale by modality in place of the stored ones.
    wanted
        Those of :data:`OPTIONAL_PARTS` that embeddings are to have; others are empty.
    """

    def __init__(
        self,
        module: DomainVAE,
        statistics: Mapping[str, ScalingStatistics] | None = None,
        *,
        wanted: tuple[str, ...] = OPTIONAL_PARTS,
    ) -> None:
        self.module, self.modality, self.wanted = module, module.modalities.only, wanted
        self.statistics = None if statistics is None else next(iter(statistics.values()))
        maps = self.modality.input_maps(self.statistics)
        self.maps = maps if "reference" in wanted else maps[:-1]
        width = sum(m.weight.shape[1] for m in self.maps)
        n_kept = max(1, KEPT_VALUES // (width * module.n_input))
        self.folded = lru_cache(maxsize=n_kept)(lambda domain: FoldedMaps(self.maps, domain))

    def embed(self, block: Any, domain: int, size_factor: NDArray | None = None) -> Embedding:
        """Embed rows of one domain.

        Parameters
        ----------
        block
            Values as they are stored, ``(n_rows, n_input)``: an array or CSR.
        domain
            Code of the domain.
        size_factor
            Size factors, ``(n_rows, 1)``; row sums if ``None``.
        """
        device, scale = self.modality.device, self.modality.input_scale
        factor = None if size_factor is None else torch.from_numpy(_single(size_factor)).to(device)
        if not sparse.issparse(block) or device.type != "cpu":
            x = torch.from_numpy(_single(dense_rows(block, slice(None)))).to(device)
            u, _ = self.modality.log_values(x, factor)
            return self._classify(self.folded(domain).dense(u))
        x = torch.from_numpy(_single(block.data))
        if scale.counts:
            sums = torch.from_numpy(_single(block.sum(axis=1)).reshape(-1, 1))
            library = sums if factor is None else scale.library_size(sums, factor)
            x = scale.log_values(x, library, torch.from_numpy(np.diff(block.indptr)))
        return self._classify(self.folded(domain).sparse(block.indptr, block.indices, x))

    def _classify(self, scores: list[torch.Tensor]) -> Embedding:
        """Do the rest of an embedding from the scores of the input maps."""
        encoder, linear = self.modality.z_encoder, self.modality.linear
        n = linear.n_members
        projected, members, rest = scores[0], scores[1 : n + 1], scores[n + 1 :]
        hidden = encoder.hidden(projected)
        mean = encoder.mean(hidden)
        network = class_log_softmax(self.module.classifier(mean))
        empty = mean[:, :0]
        return Embedding(
            mean,
            encoder.variance(hidden) if "variance" in self.wanted else empty,
            network,
            linear.combine(members) if n else network,
            rest[0] if "reference" in self.wanted else empty,
        )

    def score_phenotypes(
        self, mean: torch.Tensor, block: Any, domain: int, size_factor: NDArray | None = None
    ) -> PhenotypeScores:
        """Raw scores of the auxiliary phenotypes, by network and by linear members.

        Parameters
        ----------
        mean
            Latents of the rows, as :meth:`embed` gives them.
        block, domain, size_factor
            The arguments of :meth:`embed`.
        """
        heads, device = heads_of(self.module), self.modality.device
        parts = []
        n_rows = max(1, PHENOTYPE_VALUES // block.shape[1])
        for start in range(0, block.shape[0], n_rows):
            some = slice(start, start + n_rows)
            x = torch.from_numpy(_single(dense_rows(block, some))).to(device)
            factor = None
            if size_factor is not None:
                factor = torch.from_numpy(_single(size_factor[some])).to(device)
            u, _ = self.modality.log_values(x, factor)
            code = torch.full((len(x),), domain, device=device)
            s = self.modality.standardised_by_domain(u, code, self.statistics)
            parts.append(heads(mean[some], s))
        return PhenotypeScores(*(torch.cat(scores) for scores in zip(*parts, strict=True)))


def _single(values: Any) -> NDArray[np.float32]:
    """Array in single precision that torch may look at."""
    out = np.asarray(values, dtype=np.float32)
    return out if out.flags.writeable else out.copy()
