"""Centring, calibration and unknown score for each set of modalities that a row may have.

Latents of a row by one of its modalities are not those by both, so what is fitted after training
is fitted to the training rows as they look with each set of modalities, its *pattern*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scvi import REGISTRY_KEYS

from domainvi.data import MODALITIES, row_loader
from domainvi.linear import fit_centring
from domainvi.module import OPTIONAL_PARTS, MultimodalVAE
from domainvi.trust import Calibrator, UnknownScorer

from ._annotation import AnnotationMixin
from ._codes import codes
from ._inference import RowOutputs
from ._judgement import fit_calibration, fit_unknown, unknown_spaces
from ._training import TrainingMixin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._inference import Embedded

INFERENCE_BATCH = 2048


@dataclass(frozen=True)
class PatternOutputs(RowOutputs):
    """Outputs with the pattern of each row.

    Parameters
    ----------
    pattern
        Sum of :math:`2^m` over the modalities :math:`m` of a row, less one; ``(n_rows,)``.
    """

    pattern: NDArray[np.int64]

    def by_pattern(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each pattern with the numbers of its rows."""
        for pattern in np.unique(self.pattern):
            yield int(pattern), np.flatnonzero(self.pattern == pattern)


class PatternMixin(AnnotationMixin, TrainingMixin):
    """Judge the patterns of a model of several modalities one by one."""

    @property
    def _joint(self) -> MultimodalVAE | None:
        """The module, if it has several modalities."""
        return self.module if isinstance(self.module, MultimodalVAE) else None

    @property
    def _n_patterns(self) -> int:
        return 2 ** len(self.modalities) - 1

    @property
    def _n_centred(self) -> int:
        return super()._n_centred if self._joint is None else len(self.domains)

    def _judge(self, domain: NDArray[np.int64], label: NDArray[np.int64], *, align: bool) -> None:
        joint = self._joint
        if joint is None:
            super()._judge(domain, label, align=align)
            return
        self.centring_, self.calibration_, self.unknown_, self.partial_ = None, None, None, {}
        if not (label >= 0).any():
            return
        work = self._validate_anndata()
        held_out = np.zeros(len(label), dtype=bool)
        held_out[self.validation_indices] = True
        has = np.asarray(work.obsm[MODALITIES]) > 0
        looks: list[tuple[RowOutputs, NDArray[np.int64]]] = []
        for pattern, visible in enumerate(patterns(has.shape[1])):
            rows = np.flatnonzero(has[:, visible].all(axis=1))
            if not len(rows):
                continue
            with joint.looking_at(visible.tolist()):
                out = self._forward(work, rows, None)
            calibration = fit_calibration(out.network, label[rows], held_out[rows])
            own = self._own_reference(out, visible)
            unknown = fit_unknown(own, label[rows], domain[rows], self.seed)
            self.partial_[str(pattern)] = {
                "calibration": calibration.to_dict(),
                "unknown": None if unknown is None else unknown.to_arrays(),
            }
            looks.append((out, pattern * len(self.domains) + domain[rows]))
            # The last one, of all modalities, stands where that of other models does.
            self.calibration_, self.unknown_ = calibration, unknown
        if align:
            self._centre(looks)
        self._record_guard()
        self._audit_again(domain, label, self._forward(work, None, None).logits.argmax(axis=1))

    def _centre(self, looks: list[tuple[RowOutputs, NDArray[np.int64]]]) -> None:
        """Centre each class of each domain as each pattern shows it, all at one mean a class."""
        z = np.concatenate([out.mean for out, _ in looks])
        p = np.exp(np.concatenate([out.logits for out, _ in looks]).astype(np.float64))
        cell = np.concatenate([cells for _, cells in looks])
        self.centring_ = fit_centring(z, p, cell, self._n_patterns * len(self.domains))

    def _own_reference(self, out: RowOutputs, visible: NDArray[np.bool_]) -> RowOutputs:
        """Keep the un-adapted components of visible modalities."""
        joint = self._joint
        if joint is None:
            return out
        widths = [len(part.reference_origin) for part in joint.parts.values()]
        return replace(out, reference=out.reference[:, np.repeat(visible, widths)])

    def _embedded(
        self,
        work: PreparedAnnData,
        rows: NDArray[np.int64],
        batch_size: int | None,
        wanted: tuple[str, ...],
    ) -> Iterator[Embedded]:
        joint = self._joint
        if joint is None:
            yield from super()._embedded(work, rows, batch_size, wanted)
            return
        tables, start = self._scaling_tables(work), 0
        for tensors in row_loader(work.manager, rows, batch_size or INFERENCE_BATCH):
            inputs = joint._get_inference_input(tensors)
            e = joint.embed(**inputs, tables=tables)
            spare = [name for name in OPTIONAL_PARTS if name not in wanted]
            e = e._replace(**dict.fromkeys(spare, e.mean[:, :0]))
            domain = inputs["batch_index"].squeeze(-1).long().to(e.mean.device)
            yield np.arange(start, start + len(domain)), domain, e, []
            start += len(domain)

    def _forward(
        self,
        work: PreparedAnnData,
        rows: NDArray[np.int64] | None,
        batch_size: int | None,
        *,
        wanted: tuple[str, ...] = OPTIONAL_PARTS,
    ) -> RowOutputs:
        out = super()._forward(work, rows, batch_size, wanted=wanted)
        if self._joint is None:
            return out
        has = np.asarray(work.obsm[MODALITIES])[slice(None) if rows is None else rows] > 0
        pattern = has @ (1 << np.arange(has.shape[1])) - 1
        return PatternOutputs(**vars(out), pattern=pattern)

    def _centred(self, out: RowOutputs, domain: NDArray[np.int64]) -> RowOutputs:
        if not isinstance(out, PatternOutputs) or self.centring_ is None:
            return super()._centred(out, domain)
        # Cells as in the fit, and behind them those of new domains, each pattern by itself.
        known = len(self.domains)
        cell = out.pattern * known + domain
        new = self._n_patterns * domain + out.pattern
        return super()._centred(out, np.where(domain < known, cell, new))

    def _probabilities(self, out: RowOutputs, calibrated: bool = True) -> NDArray[np.float64]:
        p = super()._probabilities(out, calibrated)
        if isinstance(out, PatternOutputs) and calibrated:
            for pattern, rows in out.by_pattern():
                if own := self.partial_.get(str(pattern)):
                    p[rows] = Calibrator.from_dict(own["calibration"]).apply(out.logits[rows])
        return p

    def _unknown_p_values(self, work: PreparedAnnData, out: RowOutputs) -> NDArray[np.float64]:
        if not isinstance(out, PatternOutputs):
            return super()._unknown_p_values(work, out)
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        visible = patterns(np.asarray(work.obsm[MODALITIES]).shape[1])
        p = np.full(len(out.mean), np.nan)
        for pattern, rows in out.by_pattern():
            arrays: dict[str, Any] | None = self.partial_.get(str(pattern), {}).get("unknown")
            if arrays is not None:
                own = self._own_reference(out.take(rows), visible[pattern])
                scorer = UnknownScorer.from_arrays(arrays)
                p[rows] = scorer.p_value(unknown_spaces(own), own.linear, domain=domain[rows])
        return p


def patterns(n_modalities: int) -> list[NDArray[np.bool_]]:
    """Every set of modalities, the whole one last, in the order of their numbers.

    Examples
    --------
    >>> [p.tolist() for p in patterns(2)]
    [[True, False], [False, True], [True, True]]
    """
    bits = 1 << np.arange(n_modalities)
    return [(i & bits) > 0 for i in range(1, 1 << n_modalities)]
