"""A MuData object as one table: the modalities side by side, with a mask of what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from domainvi.errors import GeneMatchError, InputError

from ._gene_names import match_genes
from ._matrix import in_memory, select_matrix, take_present
from ._prepare import MODALITIES, SEPARATOR, FlatAnnData, warn_of_missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MAX_MODALITIES = 4
Modalities = dict[str, str | None]
Genes = dict[str, list[str]]


def choose_modalities(
    mdata: MuData, modalities: str | Sequence[str] | Mapping[str, str | None] | None
) -> Modalities:
    """Resolve the argument ``modalities`` to names and their layers.

    Examples
    --------
    >>> parts = {"rna": ["TP53", "MYC"], "mirna": ["hsa-mir-21", "hsa-let-7a-1"]}
    >>> var = {name: pd.DataFrame(index=genes) for name, genes in parts.items()}
    >>> mdata = MuData({name: AnnData(np.ones((2, 2)), var=var[name]) for name in parts})
    >>> choose_modalities(mdata, None), choose_modalities(mdata, "rna")
    ({'rna': None, 'mirna': None}, {'rna': None})
    """
    if not isinstance(mdata, MuData):
        msg = f"mdata is a {type(mdata).__name__}; expected a mudata.MuData."
        raise InputError(msg)
    if mdata.axis != 0:
        msg = f"mdata has axis={mdata.axis}; expected 0, modalities that share rows."
        raise InputError(msg)
    if modalities is None:
        modalities = list(mdata.mod)
    names = [modalities] if isinstance(modalities, str) else list(modalities)
    if not names or len(names) > MAX_MODALITIES or len(set(names)) < len(names):
        msg = f"modalities={names} must be 1 to {MAX_MODALITIES} different names."
        raise InputError(msg)
    if unknown := [name for name in names if name not in mdata.mod]:
        msg = f"modalities has {unknown}, but mdata has {', '.join(mdata.mod)}."
        raise InputError(msg)
    if unfit := [name for name in names if not name or SEPARATOR in name]:
        msg = f"modalities has {unfit}; names must not be empty or hold {SEPARATOR!r}. Rename them."
        raise InputError(msg)
    layers = modalities if hasattr(modalities, "keys") else {}
    return {name: layers.get(name) for name in names}  # type: ignore[union-attr]


def flatten(data: MuData | AnnData, modalities: Modalities, genes: Genes | None = None) -> AnnData:
    """Put the modalities of rows side by side; rows that have none of them are left out.

    ``data`` may be an AnnData of one of the modalities, found by its genes. With ``genes`` of a
    trained model, by modality, whole modalities may be missing. A single modality comes back under
    its own gene names, and several, as a :class:`FlatAnnData`, with the name of the modality before
    that of the gene, ``"rna:TP53"``.
    """
    parts = _find_parts(data, modalities, genes)
    obs = data.obs
    source = {name: _rows_in(part, obs, name) for name, part in parts.items()}
    absent = np.full(len(obs), -1)
    present = np.stack([source.get(name, absent) >= 0 for name in modalities], axis=1)
    kept = np.flatnonzero(present.any(axis=1))
    blocks, names, masks = [], [], []
    for name, layer in modalities.items():
        part = parts.get(name)
        matrix, own, mask = _block(part, name, layer, genes)
        blocks.append(take_present(matrix, source.get(name, absent)[kept], axis=0))
        names.append(own if len(modalities) == 1 else [f"{name}{SEPARATOR}{g}" for g in own])
        masks.append(mask)
    var = pd.DataFrame(index=pd.Index(np.concatenate(names)).astype(str))
    x, obs = side_by_side(blocks), _used_categories(obs.iloc[kept])
    if len(modalities) == 1:
        return AnnData(X=x, obs=obs, var=var)
    flat = FlatAnnData(X=x, obs=obs, var=var)
    flat.obsm[MODALITIES] = pd.DataFrame(
        present[kept].astype(np.float32), flat.obs_names, list(modalities)
    )
    flat.gene_mask = np.concatenate(masks)
    return flat


def _find_parts(
    data: MuData | AnnData, modalities: Modalities, genes: Genes | None
) -> dict[str, AnnData]:
    """Take the modalities that there are; an AnnData is the one whose genes it has most of."""
    if isinstance(data, MuData):
        found = {name: data.mod[name] for name in modalities if name in data.mod}
        if not found:
            msg = (
                f"mdata has {', '.join(data.mod)}, and the model was set up with "
                f"{', '.join(modalities)}: none of them is there."
            )
            raise InputError(msg)
        return found
    if not isinstance(data, AnnData):
        msg = f"Expected a MuData or an AnnData of one modality; got a {type(data).__name__}."
        raise InputError(msg)
    shared = {m: float(data.var_names.isin(g).sum()) / len(g) for m, g in (genes or {}).items()}
    best = max(shared, key=lambda m: shared[m], default="")
    if not best or not shared[best]:
        msg = (
            "adata is an AnnData without a gene of any modality of the model "
            f"({', '.join(modalities)}). Pass a MuData, or one modality under the same gene names."
        )
        raise GeneMatchError(msg)
    return {best: data}


def _used_categories(obs: pd.DataFrame) -> pd.DataFrame:
    """Drop categories without a row: AnnData does so when rows are taken, and MuData does not."""
    categorical = obs.select_dtypes("category")
    return obs.assign(**{str(k): c.cat.remove_unused_categories() for k, c in categorical.items()})


def side_by_side(blocks: list[Any]) -> Any:
    """Join matrices by columns: as CSR if the widest is sparse, otherwise dense."""
    if len(blocks) == 1:
        return blocks[0]
    if sparse.issparse(max(blocks, key=lambda block: block.shape[1])):
        return sparse.hstack([sparse.csr_matrix(block) for block in blocks], format="csr")
    return np.hstack([b.toarray() if sparse.issparse(b) else b for b in blocks])


def _rows_in(part: AnnData, obs: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """Row numbers of a modality for the rows of ``obs``, -1 where it lacks them."""
    if not part.obs_names.is_unique:
        msg = f"mdata[{name!r}].obs_names holds names more than once; rows are matched by name."
        raise InputError(msg)
    source = part.obs_names.get_indexer(obs.index)
    if (source >= 0).sum() < part.n_obs:
        msg = (
            f"mdata[{name!r}] has {part.n_obs} rows, {(source >= 0).sum()} of them in mdata.obs. "
            "Call mdata.update() after changing a modality."
        )
        raise InputError(msg)
    return source.astype(np.int64)


def _block(
    part: AnnData | None, name: str, layer: str | None, genes: Genes | None
) -> tuple[Any, Sequence[str], NDArray[np.bool_]]:
    """Matrix, genes and mask of the genes that are there, of one modality."""
    if part is None:
        own = [] if genes is None else genes[name]
        return sparse.csr_matrix((0, len(own)), dtype=np.float32), own, np.zeros(len(own), bool)
    matrix = in_memory(select_matrix(part, layer))
    if genes is None:
        return matrix, list(part.var_names.astype(str)), np.ones(part.n_vars, dtype=bool)
    try:
        alignment = match_genes(part.var, genes[name])
    except GeneMatchError as error:
        msg = f"Modality {name!r}: {error}"
        raise GeneMatchError(msg) from error
    warn_of_missing(alignment, f"of modality {name!r}", part.var_names)
    return alignment.take(matrix), genes[name], alignment.mask


def flat_mudata(
    mdata: MuData,
    modalities: str | Sequence[str] | Mapping[str, str | None] | None,
    columns: dict[str, Any],
) -> tuple[AnnData, dict[str, str | None]]:
    """Bring the chosen modalities of a MuData to one table, and check what goes with several."""
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
    return flatten(mdata, chosen), chosen
