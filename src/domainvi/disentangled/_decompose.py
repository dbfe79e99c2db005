"""Expression taken apart by group: variance shares, parts set to a level, parts exchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from domainvi.data import FACTORS_KEY, Factor
from domainvi.errors import InputError

from ._subspaces import SubspaceMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from domainvi.data import PreparedAnnData

REFERENCE = "reference"


class DecompositionMixin(SubspaceMixin):
    """``get_variance_shares``, ``get_normalized_expression`` and ``get_swapped_expression``."""

    def _decodable(self, adata: AnnData | None) -> PreparedAnnData:
        self._check_trained()
        work = self._validate_anndata(adata)
        # Missing genes have no variance, and nothing to correct.
        self._check_genes(work, "this method")
        return work

    @torch.inference_mode()
    def get_variance_shares(
        self, adata: AnnData | None = None, batch_size: int | None = None
    ) -> pd.DataFrame:
        r"""Share of each subspace in the variance of the scores of each gene.

        Scores are log-rates, or standardised means of log values; with their parts :math:`c_{gi}`
        over the rows, the share is :math:`\mathrm{Var}(c_g) / \sum_h \mathrm{Var}(c_h)`. What the
        model does not explain (noise) has no share.

        Parameters
        ----------
        adata
            Rows; the model's own data if ``None``.
        batch_size
            Rows at a time.

        Returns
        -------
        Genes x subspaces, rows summing to 1; NaN for a gene that does not vary.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> shares = model.get_variance_shares()
        >>> shares.shape[0], "technical" in shares
        (60, True)
        """
        work = self._decodable(adata)
        sums = {s: np.zeros((2, len(self.genes))) for s in self.subspaces}
        for tensors, out in self._batches(work, None, batch_size):
            for name, part in self._parts(out["qz"].loc, tensors[FACTORS_KEY]).items():
                c = part.double().cpu().numpy()
                sums[name] += np.stack([c.sum(axis=0), np.square(c).sum(axis=0)])
        n = work.n_obs
        variance = {s: np.maximum(b / n - np.square(a / n), 0) for s, (a, b) in sums.items()}
        table = pd.DataFrame(variance, index=self.genes)
        total = table.sum(axis=1)
        return table.div(total.where(total > 0), axis=0)

    def _parts(self, z: torch.Tensor, values: torch.Tensor) -> dict[str, torch.Tensor]:
        metadata = self.module.metadata(values, self.module.factor_scores(z))
        return self.module.contributions(z, metadata)

    @torch.inference_mode()
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        batch_size: int | None = None,
        **levels: str,
    ) -> pd.DataFrame:
        """Expect expression with the part of some groups set to one level for all rows.

        The latents of such a group are set to the mean of their prior at that level, and so are its
        loadings; the parts of the other subspaces stay those of the row.

        Parameters
        ----------
        adata
            Rows; the model's own data if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        batch_size
            Rows at a time.
        **levels
            Group names with ``"reference"``, the average metadata of the training rows, or with a
            level of one of the group's factors, whose other factors stay at the average:
            ``technical="reference"``, ``technical="gtex"``.

        Returns
        -------
        Rows x genes: log values, or counts at the median library size of the training rows.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If there is no such group or level.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.get_normalized_expression(technical="reference").shape
        (300, 60)
        """
        fixed = {group: self._metadata_at(group, level) for group, level in levels.items()}
        work = self._decodable(adata)
        rows = self._row_numbers(work, indices)
        out = []
        for tensors, encoded in self._batches(work, rows, batch_size):
            parts = self._parts(encoded["qz"].loc, tensors[FACTORS_KEY])
            for group, m in fixed.items():
                z = self.module.priors[group](m)
                parts[group] = self.module.loadings[group](z, m).expand_as(parts[group])
            out.append(self._expression(parts))
        return pd.DataFrame(np.concatenate(out), index=work.obs_names[rows], columns=self.genes)

    @torch.inference_mode()
    def get_swapped_expression(
        self,
        partners: ArrayLike,
        group: str,
        adata: AnnData | None = None,
        batch_size: int | None = None,
    ) -> pd.DataFrame:
        """Expect expression with the part of one subspace taken from other rows.

        Parameters
        ----------
        partners
            For each row, the number of the row whose part it gets; its own number for a plain
            reconstruction.
        group
            Name of the subspace.
        adata
            Rows; the model's own data if ``None``.
        batch_size
            Rows at a time.

        Returns
        -------
        Rows x genes, as from :meth:`get_normalized_expression`.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If there is no such subspace, or not one partner for each row.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> import numpy as np
        >>> model.get_swapped_expression(np.arange(300)[::-1], group="technical").shape
        (300, 60)
        """
        self._columns_of(group)
        work = self._decodable(adata)
        donor = self._row_numbers(work, np.asarray(partners))
        if len(donor) != work.n_obs:
            msg = f"partners has {len(donor)} entries; there are {work.n_obs} rows."
            raise InputError(msg)
        out = []
        given = self._batches(work, donor, batch_size)
        for (tensors, own), (other, lent) in zip(
            self._batches(work, None, batch_size), given, strict=True
        ):
            parts = self._parts(own["qz"].loc, tensors[FACTORS_KEY])
            parts[group] = self._parts(lent["qz"].loc, other[FACTORS_KEY])[group]
            out.append(self._expression(parts))
        return pd.DataFrame(np.concatenate(out), index=work.obs_names, columns=self.genes)

    def _expression(self, parts: dict[str, torch.Tensor]) -> NDArray[np.float32]:
        n = len(next(iter(parts.values())))
        library = self.module.target_sum.expand(n, 1)
        return self.module.distribution(parts, library).mean.cpu().numpy()

    def _metadata_at(self, group: str, level: str) -> torch.Tensor:
        """Metadata of a group with one factor at a level and the others at their average."""
        if group not in self.groups:
            msg = f"There is no group {group!r}. The groups are {', '.join(self.groups)}."
            raise InputError(msg)
        mine = self._of(group)
        start = sum(f.width for g in self.groups[: self.groups.index(group)] for f in self._of(g))
        m = self.module.factor_mean[None, start : start + sum(f.width for f in mine)].clone()
        if level == REFERENCE:
            return m
        homes = [f for f in mine if str(level) in f.levels]
        if len(homes) != 1:
            known = [f"{name} ({f.name})" for f in mine for name in f.levels]
            msg = (
                f"{group}={level!r} names {len(homes)} levels; expected {REFERENCE!r} or one of "
                f"{', '.join(known)}."
            )
            raise InputError(msg)
        start = sum(f.width for f in mine[: mine.index(homes[0])])
        m[:, start : start + homes[0].width] = 0.0
        m[:, start + homes[0].levels.index(str(level))] = 1.0
        return m

    def _of(self, group: str) -> list[Factor]:
        return [f for f in self.factors if f.group == group]
