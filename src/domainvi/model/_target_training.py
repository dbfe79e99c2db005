"""Further phenotypes in training: their linear members before it, their calibration after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from domainvi.train import fit_classes, fit_numbers, leading_genes, log_rows, subsample

from ._codes import codes
from ._judgement import MIN_ROWS, JudgementMixin, fit_calibration, fit_unknown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domainvi.data import Phenotype, PreparedAnnData
    from domainvi.train import LinearTarget, TrainingRows

    from ._inference import RowOutputs

# Genes that linear members of targets read: more than those of the main phenotype, since some
# phenotypes are told by a few genes that vary little.
MAX_GENES = 5000
BLOCK_ROWS = 512


class TargetTrainingMixin(JudgementMixin):
    """Fit and judge the heads of the further phenotypes."""

    def _target_values(self, work: PreparedAnnData, target: Phenotype) -> NDArray:
        """Values of all rows: numbers with NaN, or class codes with -1 where there is none."""
        if target.is_numeric:
            return np.array(work.manager.get_from_registry(target.field), np.float64).ravel()
        code = codes(work.manager, target.field)
        return np.where(code < target.n_outputs, code, -1)

    @torch.no_grad()
    def _fit_targets(
        self,
        work: PreparedAnnData,
        rows: TrainingRows,
    ) -> None:
        """Fit the linear members, each on rows with a value, and on genes that vary in ``rows``.

        These are freed before, where the caller does not keep them.
        """
        genes = leading_genes(rows, MAX_GENES)
        n_domains = rows.n_domains
        del rows
        domain, order = codes(work.manager, REGISTRY_KEYS.BATCH_KEY), work.order
        for i, target in enumerate(self.targets):
            values = self._target_values(work, target)
            known = np.isfinite(values) if target.is_numeric else values >= 0
            own = order[known[order]]
            # The rows that the other members were fitted on may have few of the values, or none.
            stratum = np.zeros(len(own), np.int64) if target.is_numeric else values[own]
            own = own[subsample(domain[own], stratum, self.seed)]
            s = self._standardised_rows(work, own, genes)
            part = (s, domain[own], values[own], n_domains)
            member = (
                fit_numbers(*part, self.seed)
                if target.is_numeric
                else fit_classes(*part, target.n_outputs, self.seed)
            )
            self._set_target(i, member, genes)

    def _standardised_rows(
        self, work: PreparedAnnData, rows: NDArray[np.int64], genes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Read some genes of rows, standardised by domain; few rows at a time with all genes."""
        domain = torch.from_numpy(codes(work.manager, REGISTRY_KEYS.BATCH_KEY)[rows])
        s = np.empty((len(rows), len(genes)), dtype=np.float32)
        device = self.module.device
        for start in range(0, len(rows), BLOCK_ROWS):
            some = slice(start, start + BLOCK_ROWS)
            u = torch.from_numpy(log_rows(self.module, work, rows[some])).to(device)
            block = self.module.standardised_by_domain(u, domain[some].to(device))
            s[some] = block.cpu().numpy()[:, genes]
        return s

    def _set_target(self, i: int, member: LinearTarget, genes: NDArray[np.int64]) -> None:
        heads = self.module.target_heads
        block = heads.block(i)
        heads.coef[torch.from_numpy(genes), block] = torch.as_tensor(member.coef).to(heads.coef)
        for name in ("intercept", "offset", "class_weight"):
            table = getattr(heads, name)
            table[..., block] = torch.as_tensor(getattr(member, name)).to(table)
        heads.is_known[:, i] = torch.from_numpy(member.is_known)
        for name in ("location", "scale", "widening"):
            getattr(heads, name)[i] = getattr(member, name)
        # Until held-out rows have spoken, the network is taken to be as good as the member.
        heads.temperature[i], heads.spread[i] = member.temperature, member.spread

    @torch.no_grad()
    def _judge_targets(self, work: PreparedAnnData) -> None:
        """Calibrate the heads on held-out rows, and fit an unknown score for each class target."""
        self.target_unknown_ = {}
        if self.module.targets is None:
            return
        domain = codes(work.manager, REGISTRY_KEYS.BATCH_KEY)
        rows = self._judged_rows(work, domain, self._labels(work))
        out, domain = self._forward(work, rows, None), domain[rows]
        held_out = np.isin(rows, self.validation_indices)
        for i, target in enumerate(self.targets):
            values = self._target_values(work, target)[rows]
            if target.is_numeric:
                self._judge_numbers(i, out, values, domain, held_out)
                continue
            block = self.module.target_heads.block(i)
            network, linear = out.target_network[:, block], out.target_linear[:, block]
            calibration = fit_calibration(network, values, held_out)
            self.module.target_heads.temperature[i, 0] = calibration.temperature
            scorer = fit_unknown(replace(out, linear=linear), values, domain, self.seed)
            if scorer is not None:
                self.target_unknown_[target.key] = scorer

    def _judge_numbers(
        self,
        i: int,
        out: RowOutputs,
        values: NDArray[np.float64],
        domain: NDArray[np.int64],
        held_out: NDArray[np.bool_],
    ) -> None:
        heads = self.module.target_heads
        used = held_out & np.isfinite(values)
        if used.sum() < MIN_ROWS:
            return
        device = heads.offset.device
        v = heads.standardised(
            i, torch.from_numpy(values).to(device), torch.from_numpy(domain).to(device)
        )
        error = (v.cpu().numpy() - out.target_network[:, heads.block(i)][:, 0])[used]
        heads.spread[i, 0] = float(np.sqrt(np.mean(np.square(error))))
