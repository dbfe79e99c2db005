"""Differential expression between groups of rows, by draws from the posterior of the decoder."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from anndata import AnnData
from scipy import stats

from domainvi._checks import check_choice, unknown_column
from domainvi._compat import de_core
from domainvi.data import dense_rows, row_blocks
from domainvi.errors import InputError
from domainvi.train import seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    # Draw expected values of rows as measured in a domain, their own if None.
    Draw = Callable[[PreparedAnnData, NDArray[np.int64], str | None], NDArray[np.float32]]

MODES = ("change", "vanilla")
P_VALUE = "p_adjusted"
_DIFFERENCE = "difference"
_RAW = ("raw_", "non_zeros_")
_BLOCK, _SCALE = 2048, 1e4


class HasDecoder(Protocol):
    """A trained model of one modality."""

    seed: int
    genes: list[str]
    domains: list[str]

    def _own_data(self) -> Any: ...

    def _validate_anndata(self, adata: Any = None) -> PreparedAnnData: ...


def differential_expression(
    model: HasDecoder,
    draw: Draw,
    adata: AnnData | MuData | None,
    groupby: str | None,
    group1: str | Sequence[str] | None,
    group2: str | None,
    idx1: Any,
    idx2: Any,
    *,
    is_log: bool,
    unlabelled: dict[str, str],
    mode: Literal["change", "vanilla"],
    delta: float | None,
    all_stats: bool,
    batch_correction: bool,
    batchid1: Sequence[str] | None,
    batchid2: Sequence[str] | None,
    fdr_target: float,
    silent: bool,
    **kwargs: Any,
) -> pd.DataFrame:
    """Compare groups; see :meth:`domainvi.DomainVI.differential_expression`.

    ``draw`` draws from the decoder; ``unlabelled`` says by column which level is no group.
    """
    check_choice("mode", mode, MODES)
    if not 0 < fdr_target < 1:
        msg = f"fdr_target={fdr_target!r} must be above 0 and below 1."
        raise InputError(msg)
    prepared = model._validate_anndata(adata)
    obs = (model._own_data() if adata is None else adata).obs.loc[prepared.obs_names]
    for name, ids in (("batchid1", batchid1), ("batchid2", batchid2)):
        if unknown := [str(i) for i in ids or () if i not in model.domains]:
            msg = f"{name} has {unknown[0]!r}; expected names out of {', '.join(model.domains)}."
            raise InputError(msg)
    kept = np.arange(len(obs))
    if idx1 is None:
        kept = rows_with_group(obs, groupby, group1, group2, unlabelled)
    else:
        idx1, idx2 = (None if i is None else mask_of(obs, i) for i in (idx1, idx2))
    table = obs.iloc[kept].copy()
    if idx1 is None:
        table[groupby] = table[groupby].astype("category").cat.remove_unused_categories()
    rng = np.random.default_rng(model.seed)

    def sample(
        _: AnnData, indices: NDArray[Any], transform_batch: str | None, n_samples_overall: int
    ) -> NDArray[np.float32]:
        chosen = rng.choice(np.arange(len(kept))[indices], n_samples_overall)
        return draw(prepared, kept[chosen], transform_batch)

    if is_log:
        # Log values differ as they are; a pseudocount is for shares.
        kwargs = {"change_fn": difference, "pseudocounts": 0.0, **kwargs}
    manager = SimpleNamespace(
        adata=AnnData(obs=table),
        get_state_registry=prepared.manager.get_state_registry,
        get_from_registry=lambda _: prepared.X if len(kept) == len(obs) else prepared.X[kept],
    )

    def statistics(_: Any, mask1: NDArray[np.bool_], mask2: NDArray[np.bool_]) -> dict[str, Any]:
        group1, group2 = (read_group(prepared, kept[m], is_log=is_log) for m in (mask1, mask2))
        p = compare_means(group1, group2, delta or 0.0, is_log=is_log, by_domain=batch_correction)
        return raw_statistics(group1, group2, is_log=is_log) | p

    with seeded(model.seed):
        found = de_core(
            manager,
            sample,
            None,
            groupby,
            group1,
            group2,
            idx1,
            idx2,
            True,
            statistics,
            model.genes,
            mode,
            batchid1,
            batchid2,
            delta,
            batch_correction,
            fdr_target,
            silent,
            **kwargs,
        )
    if (called := f"is_de_fdr_{fdr_target}") in found:
        agrees = np.sign(found.pop(_DIFFERENCE)) == np.sign(found["lfc_mean"])
        tested = found[P_VALUE].notna()
        found[called] &= ~tested | (agrees & (found[P_VALUE] <= fdr_target))
    raw = [name for name in found if name.startswith(_RAW)]
    return found.drop(columns=[_DIFFERENCE, *([] if all_stats else raw)], errors="ignore")


def difference(x: NDArray[Any], y: NDArray[Any], pseudocounts: float) -> NDArray[Any]:
    """Change of log values, in their unit."""
    return x - y + 0.0 * pseudocounts


def mask_of(obs: pd.DataFrame, rows: Any) -> NDArray[np.bool_]:
    """Bring row numbers, a mask or a query to a mask; refuse what chooses none or cannot be."""
    mask = np.zeros(len(obs), dtype=bool)
    try:
        names = obs.query(rows).index if isinstance(rows, str) else None
        mask[obs.index.isin(names) if names is not None else np.asarray(rows)] = True
    except Exception as error:  # pandas and numpy raise anything on queries and indices
        msg = f"{rows!r:.80} chooses no rows of {len(obs)} ({error!s:.200})."
        raise InputError(msg) from error
    if not 0 < mask.sum() < len(obs):
        msg = f"{rows!r:.80} chooses {int(mask.sum())} of {len(obs)} rows; expected some of them."
        raise InputError(msg)
    return mask


def rows_with_group(
    obs: pd.DataFrame,
    groupby: str | None,
    group1: str | Sequence[str] | None,
    group2: str | None,
    unlabelled: dict[str, str],
) -> NDArray[np.int64]:
    """Find the rows that are in a group at all; refuse a column or a group that is not there."""
    if groupby not in obs:
        raise InputError(unknown_column("groupby", groupby, obs.columns))
    column = obs[groupby]
    is_in = (column.notna() & (column != unlabelled.get(str(groupby)))).to_numpy()
    found = list(column[is_in].unique())
    asked = [group1] if isinstance(group1, str) or group1 is None else list(group1)
    for name in (*asked, group2):
        if name is not None and name not in found:
            msg = (
                f"{name!r} is no group of {groupby!r} that has rows; these are "
                f"{', '.join(map(str, found)):.300}."
            )
            raise InputError(msg)
    if len(found) < 2:
        msg = f"{groupby!r} has {len(found)} group with rows; two are needed to compare."
        raise InputError(msg)
    return np.flatnonzero(is_in)


class Group(NamedTuple):
    """Sums over the rows of a group: over all, ``(n_genes,)``, and by domain."""

    total: NDArray[np.float64]
    positive: NDArray[np.float64]
    # By domain: rows, ``(n_domains, 1)``; values or counts in ten thousand, and their squares.
    n: NDArray[np.float64]
    value: NDArray[np.float64]
    square: NDArray[np.float64]
    # What a single count adds to ``value``, summed over rows; 0 for log values.
    one: NDArray[np.float64]

    def pooled(self) -> Group:
        """Take all domains for one."""
        names = ("n", "value", "square", "one")
        return self._replace(**{k: getattr(self, k).sum(axis=0, keepdims=True) for k in names})


def read_group(prepared: PreparedAnnData, rows: NDArray[np.int64], *, is_log: bool) -> Group:
    """Read the rows of a group once, for all that is said of their values."""
    domain, n_domains = prepared.domain, int(prepared.domain.max()) + 1
    total, positive = np.zeros(prepared.n_vars), np.zeros(prepared.n_vars)
    value, square = (np.zeros((n_domains, prepared.n_vars)) for _ in range(2))
    one = np.zeros((n_domains, 1))
    for places, d, block in row_blocks(prepared.X, rows, domain, _BLOCK):
        x = dense_rows(block, np.arange(len(places))).astype(np.float64)
        total += x.sum(axis=0)
        positive += (x != 0).sum(axis=0)
        if not is_log:
            factor = _SCALE / np.maximum(x.sum(axis=1, keepdims=True), 1.0)
            x *= factor
            one[d] += factor.sum()
        value[d] += x.sum(axis=0)
        square[d] += (x**2).sum(axis=0)
    n = np.bincount(domain[rows], minlength=n_domains)[:, None].astype(np.float64)
    return Group(total, positive, n, value, square, one)


def raw_statistics(group1: Group, group2: Group, *, is_log: bool) -> dict[str, NDArray[Any]]:
    """Means and shares of values that are not zero, of both groups, as scvi-tools names them."""
    out = {}
    for number, group in ((1, group1), (2, group2)):
        n = max(group.n.sum(), 1.0)
        out[f"raw_mean{number}"] = group.total / n
        out[f"non_zeros_proportion{number}"] = group.positive / n
        if not is_log:
            out[f"raw_normalized_mean{number}"] = group.value.sum(axis=0) / n
    return out


def compare_means(
    group1: Group, group2: Group, delta: float, *, is_log: bool, by_domain: bool
) -> dict[str, NDArray[Any]]:
    """Test whether means of the rows' own values differ by more than ``delta``.

    Log values differ by the difference of their means; of counts the log2 ratio of mean shares is
    taken, with half a count added to each mean, and its variance by the delta method. Within
    domains that have two rows of both groups, or over all of them; differences of domains are
    averaged with weights :math:`n_1 n_2 / (n_1 + n_2)`. The p-value is that of McCarthy and Smyth
    (Bioinformatics 2009), adjusted by Benjamini and Hochberg (JRSS B 1995), and NaN where no domain
    has both groups.
    """
    pair = (group1, group2) if by_domain else (group1.pooled(), group2.pooled())
    use = ((pair[0].n > 1) & (pair[1].n > 1)).ravel()
    if not use.any():
        nothing = np.full(group1.total.shape, np.nan)
        return {P_VALUE: nothing, _DIFFERENCE: nothing}
    (mean1, error1), (mean2, error2) = (moments(group, use, is_log=is_log) for group in pair)
    n1, n2 = pair[0].n[use], pair[1].n[use]
    weight = n1 * n2 / (n1 + n2)
    weight = weight / weight.sum()
    change = (weight * (mean1 - mean2)).sum(axis=0)
    error = np.maximum(np.sqrt((weight**2 * (error1 + error2)).sum(axis=0)), 1e-12)
    tails = stats.t(float((n1 + n2 - 2).sum()))
    p = tails.sf((np.abs(change) - delta) / error) + tails.sf((np.abs(change) + delta) / error)
    return {P_VALUE: stats.false_discovery_control(np.minimum(p, 1.0)), _DIFFERENCE: change}


def moments(
    group: Group, use: NDArray[np.bool_], *, is_log: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean on the scale of changes, and its squared standard error, of domains and genes."""
    n = group.n[use]
    mean = group.value[use] / n
    error = np.maximum(group.square[use] / n - mean**2, 0.0) / (n - 1)
    if is_log:
        return mean, error
    one = group.one[use] / n**2
    mean, error = mean + one / 2, error + one**2 / 2
    return np.log2(mean), error / (mean * np.log(2)) ** 2
