"""``setup_mudata``: the modalities of a MuData object as the rows of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domainvi._compat import SETUP_ARGS_KEY, SETUP_METHOD_KEY
from domainvi.data import MODALITIES, choose_modalities, flatten
from domainvi.errors import InputError

from ._prepared import PreparedDataMixin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mudata import MuData


class MuDataMixin(PreparedDataMixin):
    """Set up models with MuData."""

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        batch_key: str | Sequence[str],
        labels_key: str,
        *,
        modalities: str | Sequence[str] | Mapping[str, str | None] | None = None,
        **columns: Any,
    ) -> None:
        """Register the fields of a MuData object.

        Parameters
        ----------
        mdata
            Rows are samples or cells, of which each modality may lack some. Nothing is written to
            it. Columns are those of ``mdata.obs``; ``mdata.pull_obs()`` brings those of a modality
            there.
        batch_key, labels_key
            As for :meth:`setup_anndata`.
        modalities
            Which modalities to use, one to four: names, or a dict of names and the layers with
            their values (``None`` for ``X``). All of them if ``None``. A model of one modality is
            the same as that of an AnnData. A model of several has a latent space in common
            (:class:`~domainvi.module.MultimodalVAE`), and predicts from whichever are there.
        **columns
            Further arguments of :meth:`setup_anndata`. A size factor and further targets need a
            single modality.

        Raises
        ------
        InputError
            If something cannot be used; the message says what, and how to mend it.

        Notes
        -----
        scvi-tools' ``modalities`` maps arguments to modalities, as its models know which ones they
        take; here any will do, so it names the modalities themselves.

        Examples
        --------
        >>> import domainvi as dv
        >>> from mudata import MuData
        >>> adata = dv.data.synthetic_cohorts(n_obs=200, n_genes=90, seed=1)
        >>> mdata = MuData({"rna": adata[:, :60].copy(), "mirna": adata[:150, 60:].copy()})
        >>> mdata.obs = adata.obs[["domain", "label"]]
        >>> dv.DomainVI.setup_mudata(mdata, batch_key="domain", labels_key="label")
        >>> model = dv.DomainVI(mdata)
        >>> model.train(max_epochs=1, enable_progress_bar=False)
        >>> model.annotate(mdata)
        >>> mdata.obsm["X_domainvi"].shape
        (200, 32)
        >>> len(model.predict(mdata["mirna"]))
        150
        """
        chosen = choose_modalities(mdata, modalities)
        if len(chosen) > 1 and columns.get("size_factor_key") is not None:
            msg = (
                f"size_factor_key={columns['size_factor_key']!r} is one library size a row, and "
                f"there are {len(chosen)} modalities. Leave it out: row sums are taken of each."
            )
            raise InputError(msg)
        if len(chosen) > 1 and columns.get("target_keys"):
            msg = (
                f"target_keys={columns['target_keys']!r} works on models of one modality, and "
                f"there are {len(chosen)}. Use modalities=<one of them>."
            )
            raise InputError(msg)
        if columns.get("layer") is not None:
            msg = f"layer={columns['layer']!r}: name layers as modalities={{'rna': 'counts'}}."
            raise InputError(msg)
        flat = flatten(mdata, chosen)
        cls.setup_anndata(flat, batch_key, labels_key, **columns)  # type: ignore[attr-defined]
        work = cls._setups[(cls, id(flat))]
        work.manager.registry[SETUP_METHOD_KEY] = "setup_mudata"
        work.manager.registry[SETUP_ARGS_KEY][MODALITIES] = chosen
        cls._remember(mdata, work)
