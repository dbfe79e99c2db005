"""What the decoder makes of latents: expected values and draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from sparse import GCXS

from domainvi._compat import MODULE_KEYS
from domainvi.errors import InputError
from domainvi.train import seeded

from ._inference import InferenceMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


class DecodingMixin(InferenceMixin):
    """``get_normalized_expression`` and ``posterior_predictive_sample``."""

    @torch.inference_mode()
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | Sequence[bool] | None = None,
        transform_batch: str | Sequence[str] | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] = 1.0,
        batch_size: int = 128,
    ) -> pd.DataFrame:
        """Decode the posterior means, as measured in the row's own domain or in another.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        indices
            Row numbers or a mask; all rows if ``None``.
        transform_batch
            Domain to decode every row as, or several to average over; the row's own if ``None``.
        gene_list
            Genes to return; all if ``None``.
        library_size
            Counts only: what each row's shares are multiplied by. ``"latent"`` takes the row's own
            library size.
        batch_size
            Rows at a time.

        Returns
        -------
        Rows x genes: for counts, expected shares, which sum to one over all genes, times the
        library size; otherwise expected values in the unit of the data. Values are smoothed by
        the model: do not test for differences on them.

        Raises
        ------
        InputError
            If a domain or a gene is not known.
        NotTrainedError
            Before :meth:`train`.

        Examples
        --------
        >>> import domainvi as dv
        >>> adata = dv.data.synthetic_cohorts(n_obs=300, n_genes=100, seed=1)
        >>> dv.DomainVI.setup_anndata(adata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(adata)
        >>> model.train(max_epochs=2, enable_progress_bar=False)
        >>> domain = adata.obs["domain"].iloc[0]
        >>> model.get_normalized_expression(transform_batch=domain).shape
        (300, 100)
        """
        self._check_trained()
        self._refuse_several("get_normalized_expression")
        domains = self._domain_codes(transform_batch)
        genes = self._gene_numbers(gene_list)
        work = self._validate_anndata(adata)
        rows = self._row_numbers(work, indices)
        parts = []
        for tensors in self._make_data_loader(work, indices=rows, batch_size=batch_size):
            encoded = self.module.inference(**self.module._get_inference_input(tensors))
            encoded[MODULE_KEYS.Z_KEY] = encoded[MODULE_KEYS.QZ_KEY].loc
            inputs = self.module._get_generative_input(tensors, encoded)
            decoded = [self._decode(inputs, domain, library_size) for domain in domains]
            parts.append(torch.stack(decoded).mean(dim=0).cpu().numpy()[:, genes])
        values = np.concatenate(parts) if parts else np.empty((0, len(genes)), dtype=np.float32)
        names = [self.genes[i] for i in genes]
        return pd.DataFrame(values, index=work.obs_names[rows], columns=names)

    def _decode(
        self, inputs: dict[str, Any], domain: int | None, library_size: float | Literal["latent"]
    ) -> torch.Tensor:
        own = inputs["batch_index"]
        as_domain = own if domain is None else torch.full_like(own, domain)
        px = self.module.generative(**inputs | {"batch_index": as_domain})[MODULE_KEYS.PX_KEY]
        if not self.module.counts or library_size == "latent":
            return px.mean
        return library_size * px.scale / px.scale.sum(dim=-1, keepdim=True)

    def _domain_codes(self, names: str | Sequence[str] | None) -> list[int | None]:
        if names is None:
            return [None]
        wanted = [names] if isinstance(names, str) else list(names)
        missing = [name for name in wanted if name not in self.domains]
        if missing or not wanted:
            msg = f"transform_batch={names!r}; expected names out of {', '.join(self.domains)}."
            raise InputError(msg)
        return [list(self.domains).index(name) for name in wanted]

    def _gene_numbers(self, names: Sequence[str] | None) -> list[int]:
        if names is None:
            return list(range(len(self.genes)))
        number = {name: i for i, name in enumerate(self.genes)}
        missing = [name for name in names if name not in number]
        if missing:
            msg = (
                f"gene_list: {len(missing)} of {len(names)} genes are not in the model, such as "
                f"{missing[0]!r}. Use names out of model.genes."
            )
            raise InputError(msg)
        return [number[name] for name in names]

    def posterior_predictive_sample(
        self,
        adata: AnnData | None = None,
        n_samples: int = 1,
        indices: Sequence[int] | Sequence[bool] | None = None,
        batch_size: int = 128,
    ) -> GCXS:
        """Draw values from the posterior predictive distribution, as in scvi-tools.

        Parameters
        ----------
        adata
            Rows of domains that were in training, with all genes; the model's own if ``None``.
        n_samples
            Draws of each row.
        indices
            Row numbers or a mask; all rows if ``None``.
        batch_size
            Rows at a time.

        Returns
        -------
        Sparse array of shape ``(n_rows, n_genes, n_samples)``, for
        :class:`scvi.criticism.PosteriorPredictiveCheck`.

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
        >>> model.posterior_predictive_sample(n_samples=2).shape
        (200, 60, 2)
        """
        self._check_trained()
        work = self._validate_anndata(adata)
        rows = self._row_numbers(work, indices)
        loader = self._make_data_loader(work, indices=rows, batch_size=batch_size)
        with seeded(self.seed):
            parts = [self._draws(tensors, n_samples) for tensors in loader]
        return GCXS.from_numpy(np.concatenate(parts), compressed_axes=(0, 2))

    def _draws(self, tensors: dict[str, torch.Tensor], n_samples: int) -> NDArray[np.float32]:
        """Draws of shape ``(n_rows, n_genes, n_samples)``."""
        return np.stack([self.module.sample(tensors).numpy() for _ in range(n_samples)], axis=-1)
