"""Latents of the subspaces, and what they say of the factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from domainvi._compat import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY
from domainvi.data import (
    FACTORS_KEY,
    Factor,
    check_likelihood,
    describe_matrix,
    row_loader,
    select_matrix,
    to_tensors,
)
from domainvi.errors import InputError
from domainvi.trust import Calibrator

from ._factor_rows import check_rows, prepare_factors, register_factors
from ._rows import RowsMixin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray
    from scvi.dataloaders import AnnDataLoader

    from domainvi.data import PreparedAnnData
    from domainvi.module import DisentangledVAE

INFERENCE_BATCH = 2048


@dataclass(frozen=True)
class Encoded:
    """What the encoder and the heads say of rows.

    Parameters
    ----------
    mean, variance
        Of ``q(z | x)``, shape ``(n_rows, n_latent)``.
    scores
        Of each factor: logits of its levels, or its standardised number in one column.
    """

    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    scores: list[NDArray[np.float32]]


class SubspaceMixin(RowsMixin):
    """Encode rows by expression alone."""

    module: DisentangledVAE
    errors_: dict[str, float]
    calibrations_: dict[str, dict[str, Any]]

    @property
    def _setup(self) -> dict[str, Any]:
        return self.registry_[SETUP_ARGS_KEY]

    @property
    def factors(self) -> list[Factor]:
        """The factors, group by group."""
        return [Factor.from_dict(f) for f in self._setup["factors"]]

    @property
    def groups(self) -> list[str]:
        """Groups of factors, in the order in which they were given."""
        return list(dict.fromkeys(f.group for f in self.factors))

    @property
    def subspaces(self) -> list[str]:
        """Names of the subspaces: the groups, and the residual one where it has units."""
        return list(self.module.sizes)

    def _factor(self, name: str | None) -> tuple[int, Factor]:
        """Position and description of a factor; the main phenotype, or the first, if ``None``."""
        names = [f.name for f in self.factors]
        name = name or self._setup["labels_key"] or names[0]
        if name not in names:
            msg = f"factor={name!r} is not a factor of this model. It has {', '.join(names)}."
            raise InputError(msg)
        return names.index(name), self.factors[names.index(name)]

    def _columns_of(self, group: str | None) -> slice:
        """Columns of a subspace in the latents; all if ``None``."""
        if group is None:
            return slice(None)
        if group not in self.subspaces:
            msg = f"group={group!r} is not known. The subspaces are {', '.join(self.subspaces)}."
            raise InputError(msg)
        sizes = list(self.module.sizes.values())
        at = self.subspaces.index(group)
        return slice(sum(sizes[:at]), sum(sizes[: at + 1]))

    def _values(self, work: PreparedAnnData) -> NDArray[np.float32]:
        """Codes and standardised numbers of the factors, ``(n_rows, n_factors)``."""
        return np.array(work.manager.get_from_registry(FACTORS_KEY), dtype=np.float32)

    def _prepare_query(self, adata: AnnData) -> PreparedAnnData:
        """Prepare rows that the model was not set up with; they need no metadata."""
        setup = self._setup
        check_rows(adata, setup)
        check_likelihood(describe_matrix(select_matrix(adata, setup["layer"])), self.likelihood)
        work = prepare_factors(adata, setup, self.genes)
        arguments = {k: v for k, v in self.registry_.items() if k != FIELD_REGISTRIES_KEY}
        register_factors(work, arguments, self.registry_)
        return work

    def _make_data_loader(self, adata: PreparedAnnData, *args: Any, **kwargs: Any) -> AnnDataLoader:
        """Load rows for methods that decode."""
        self._check_genes(adata, "this method")
        kwargs.setdefault("collate_fn", to_tensors)
        return super()._make_data_loader(adata, *args, **kwargs)  # type: ignore[misc]

    @torch.inference_mode()
    def _batches(
        self, work: PreparedAnnData, rows: NDArray[np.int64] | None, batch_size: int | None
    ) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
        """Yield batches with what the encoder makes of them, on the model's device."""
        self._check_trained()
        self.module.eval()
        mask = None if work.gene_mask.all() else torch.from_numpy(work.gene_mask)
        for tensors in row_loader(work.manager, rows, batch_size or INFERENCE_BATCH):
            on_device = {k: v.to(self.module.device) for k, v in tensors.items()}
            inputs = self.module._get_inference_input(on_device)
            yield on_device, self.module.inference(**inputs, gene_mask=mask)

    @torch.inference_mode()
    def _encode(
        self,
        adata: AnnData | None = None,
        indices: Sequence | NDArray | None = None,
        batch_size: int | None = None,
    ) -> Encoded:
        """Run encoder and heads; rows come back in the order asked for."""
        self._check_trained()
        work = self._validate_anndata(adata)
        rows = self._row_numbers(work, indices)
        n = self.module.n_latent
        parts = [[torch.empty(0, w) for w in (n, n, *(f.width for f in self.factors))]]
        for _, out in self._batches(work, rows, batch_size):
            mean = out["qz"].loc
            row = (mean, out["qz"].variance, *self.module.factor_scores(mean))
            parts.append([t.cpu() for t in row])
        mean, variance, *scores = (torch.cat(p).numpy() for p in zip(*parts, strict=True))
        return Encoded(mean, variance, scores)

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        group: str | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        return_dist: bool = False,
    ) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latents of one subspace, or of all.

        Parameters
        ----------
        adata
            Rows to encode; the model's own data if ``None``. Genes are matched by name, and no
            metadata are needed.
        indices
            Row numbers or a mask; all rows if ``None``.
        group
            Name of a group, ``"residual"``, or ``None`` for all subspaces side by side.
        give_mean
            The mean of ``q(z | x)``; otherwise one draw around it.
        batch_size
            Rows at a time.
        return_dist
            Return mean and variance of ``q(z | x)``.

        Returns
        -------
        Array of shape ``(n_rows, n_units)``, float32; two of them with ``return_dist``.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If there is no such subspace.
        GeneMatchError
            If too few genes match.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.get_latent_representation(group="biological").shape
        (300, 16)
        """
        columns = self._columns_of(group)
        out = self._encode(adata, indices, batch_size)
        mean, variance = out.mean[:, columns], out.variance[:, columns]
        if return_dist:
            return mean, variance
        if give_mean:
            return mean
        draw = np.random.default_rng(self.seed).standard_normal(mean.shape)
        return (mean + np.sqrt(variance) * draw).astype(np.float32)

    def predict(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        factor: str | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        calibrated: bool = True,
    ) -> NDArray[Any] | pd.DataFrame:
        """Predict a factor from its own subspace, by expression alone.

        Parameters
        ----------
        adata
            Rows to predict; the model's own data if ``None``. No metadata are needed, and those
            that are there are not used.
        indices
            Row numbers or a mask; all rows if ``None``.
        factor
            Name of the factor; ``labels_key``, or else the first factor, if ``None``.
        soft
            Return probabilities of the levels, or the number with its standard error.
        batch_size
            Rows at a time.
        calibrated
            Whether probabilities are calibrated, by one temperature a factor, which was fitted to
            the rows held out of training.

        Returns
        -------
        One level or number a row; with ``soft`` a frame, rows by ``obs_names``.

        Raises
        ------
        NotTrainedError
            Before :meth:`train`.
        InputError
            If there is no such factor.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_factors(n_obs=300, n_genes=60, seed=1)
        >>> groups = {"biological": ["tissue"], "technical": ["platform"]}
        >>> dv.DisentangledVI.setup_anndata(adata, factor_groups=groups)
        >>> model = dv.DisentangledVI(adata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> len(model.predict(factor="tissue"))
        300
        """
        k, described = self._factor(factor)
        work = self._validate_anndata(adata)
        rows = self._row_numbers(work, indices)
        score = self._encode(work, rows, batch_size).scores[k].astype(np.float64)
        index = work.obs_names[rows]
        if described.is_numeric:
            value = score[:, 0] * described.scale + described.centre
            if not soft:
                return value
            error = np.full(len(value), self.errors_[described.name])
            return pd.DataFrame({"value": value, "standard_error": error}, index=index)
        if not soft:
            return np.asarray(described.levels)[score.argmax(axis=1)]
        plain = Calibrator.identity(described.n_levels)
        fitted = Calibrator.from_dict(self.calibrations_[described.name]) if calibrated else plain
        p = fitted.apply(score) if len(score) else score
        return pd.DataFrame(p, index=index, columns=list(described.levels))
