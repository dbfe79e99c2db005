"""Embeddings of many rows at once: blocks of one domain, sparse ones as they are."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from domainvi.data import dense_rows
from domainvi.nn import CLIP, ClampedProduct, class_log_softmax

from ._domain_vae import Embedding
from ._phenotype_heads import PhenotypeScores, heads_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ._domain_vae import DomainVAE
    from ._modality import InputMap, ScalingStatistics


# Values of a dense block of rows: 4 MB in single precision, so that it stays in the cache.
BLOCK_VALUES = 2**20


class FoldedMaps:
    r"""Several input maps of the rows of one domain, read in one go.

    With bounds :math:`l = c - 8 s` and :math:`h = c + 8 s`, a value :math:`x` adds
    :math:`(\mathrm{clamp}(x, l, h) - \mathrm{clamp}(0, l, h)) W / s` to the scores, on top of a
    constant, which is what a row of zeros gets. So only stored values cost anything, for all maps
    together, and the result is that of :class:`InputMap` up to rounding.

    Parameters
    ----------
    maps
        The maps.
    domain
        Code of the domain.
    """

    def __init__(self, maps: list[InputMap], domain: int) -> None:
        scalings: list[tuple[torch.Tensor, torch.Tensor]] = []
        scaling_of = [_find(scalings, m.centre[domain], m.scale[domain]) for m in maps]
        # Maps that standardise alike stand together, and are read together.
        self.order = sorted(range(len(maps)), key=lambda i: scaling_of[i])
        self.widths = [maps[i].weight.shape[1] for i in self.order]
        self.bias = torch.cat([maps[i].bias for i in self.order])
        self.centre, self.scale = (torch.stack(t) for t in zip(*scalings, strict=True))
        self.weights = [
            torch.cat([m.weight for m, t in zip(maps, scaling_of, strict=True) if t == k], dim=1)
            for k in range(len(scalings))
        ]

    @cached_property
    def _product(self) -> ClampedProduct:
        centre, scale = self.centre.double(), self.scale.double()
        lower, upper = centre - CLIP * scale, centre + CLIP * scale
        zero = torch.zeros_like(centre).clamp(lower, upper)
        folded = [w.double() / s[:, None] for w, s in zip(self.weights, scale, strict=True)]
        constant = torch.cat([(z - c) @ f for z, c, f in zip(zero, centre, folded, strict=True)])
        return ClampedProduct(
            lower, upper, zero, [f.float() for f in folded], constant + self.bias.double()
        )

    def dense(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Read log values ``(n_rows, n_input)``; one tensor of scores a map."""
        scalings = list(zip(self.centre, self.scale, self.weights, strict=True))
        parts = []
        for b in torch.split(x, max(1, BLOCK_VALUES // x.shape[1])):
            scores = [((b - c).div_(s)).clamp_(-CLIP, CLIP) @ w for c, s, w in scalings]
            parts.append(torch.cat(scores, dim=1))
        return self._by_map(torch.cat(parts) + self.bias)

    def sparse(
        self, row_starts: NDArray[np.integer], columns: NDArray[np.integer], values: torch.Tensor
    ) -> list[torch.Tensor]:
        """Read log values in CSR, on the CPU; one tensor of scores a map."""
        return self._by_map(self._product(row_starts, columns, values))

    def _by_map(self, scores: torch.Tensor) -> list[torch.Tensor]:
        parts = dict(zip(self.order, torch.split(scores, self.widths, dim=1), strict=True))
        return [parts[i] for i in range(len(parts))]


def _find(
    scalings: list[tuple[torch.Tensor, torch.Tensor]], centre: torch.Tensor, scale: torch.Tensor
) -> int:
    """Place of centre and scale in a list, to which they are added when they are new."""
    for k, (c, s) in enumerate(scalings):
        if torch.equal(c, centre) and torch.equal(s, scale):
            return k
    scalings.append((centre, scale))
    return len(scalings) - 1


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
            u, _ = self.modality.input_scale(x, factor)
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
            u, _ = self.modality.input_scale(x, factor)
            code = torch.full((len(x),), domain, device=device)
            s = self.modality.standardised_by_domain(u, code, self.statistics)
            parts.append(heads(mean[some], s))
        return PhenotypeScores(*(torch.cat(scores) for scores in zip(*parts, strict=True)))


def _single(values: Any) -> NDArray[np.float32]:
    """Array in single precision that torch may look at."""
    out = np.asarray(values, dtype=np.float32)
    return out if out.flags.writeable else out.copy()
