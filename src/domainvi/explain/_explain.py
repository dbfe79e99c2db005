"""Explain rows: check what is asked for, attribute batch by batch, and write the result."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from domainvi import _keys
from domainvi.errors import InputError

from ._heads import log_batches
from ._methods import Settings, captum_methods
from ._references import first_pass, reference_rows
from ._sums import AttributionSums, contrasts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from domainvi.data import PreparedAnnData

    from ._heads import Explainable, Head, HeadOf
    from ._methods import Method


@dataclass(frozen=True)
class Request:
    """Checked arguments: columns of a head, and groups of rows.

    Parameters
    ----------
    columns
        Columns of the head to explain, in the order of the result.
    groups
        Names of the groups of rows; ``None`` adds up by class.
    code
        Group of each row, -1 for none, shape ``(n_rows,)``.
    """

    columns: list[str]
    groups: list[str] | None
    code: NDArray[np.int64]


def explain(
    model: Explainable,
    head_of: HeadOf,
    adata: AnnData | None = None,
    *,
    method: Method = "deeplift",
    indices: Sequence[int] | Sequence[bool] | None = None,
    classes: Sequence[str] | None = None,
    groupby: str | None = None,
    target: str | None = None,
    baseline: Literal["domain", "global", "zero"] | ArrayLike = "domain",
    stability: int = 0,
    n_steps: int = 64,
    batch_size: int | None = None,
    write_varm: bool | str = False,
) -> pd.DataFrame:
    """Attribute the scores of a head to genes; see :meth:`domainvi.DomainVI.explain`.

    ``head_of`` returns the :class:`Head` of a model for prepared rows that ``target`` names.
    """
    model._check_trained()
    settings = Settings(method, baseline, n_steps, batch_size)
    settings.check(len(model.genes), stability)
    captum_methods()
    data = model._own_data() if adata is None else adata
    if stability:
        model._own_data()  # The rows that other models are trained on.
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    heads = main_and_asked(head_of, model, prepared, target)
    request = checked_request(heads[1], data, classes, groupby)
    frame = explain_rows(model, heads, prepared, rows, request, settings)
    frames = [frame]
    for seed in range(model.seed + 1, model.seed + 1 + stability):
        other = model._retrained(seed)
        heads = main_and_asked(head_of, other, prepared, target)
        frames.append(explain_rows(other, heads, prepared, rows, request, settings))
    if stability:
        frame.attrs["stability"] = rank_stability(frames)
    if write_varm:
        key = _keys.attribution(heads[1].name) if write_varm is True else write_varm
        write(frame, data, key)
    return frame


def main_and_asked(
    head_of: HeadOf, model: Explainable, prepared: PreparedAnnData, target: str | None
) -> tuple[Head, Head]:
    """Return the main head, which says of what class rows are, and the one to explain."""
    main = head_of(model, prepared, None)
    return main, main if target is None else head_of(model, prepared, target)


def checked_request(
    head: Head, adata: AnnData, classes: Sequence[str] | None, groupby: str | None
) -> Request:
    """Look up columns of a head, all in their order if ``None``, and group rows by ``obs``."""
    names = [classes] if isinstance(classes, str) else [str(c) for c in classes or ()]
    if classes is None:
        names = list(head.order)
    elif not names:
        msg = f"classes={names!r} must name some of {', '.join(head.order)}."
        raise InputError(msg)
    elif unknown := sorted(set(names) - set(head.columns)):
        msg = f"classes: {', '.join(unknown)} not known. Use some of {', '.join(head.order)}."
        raise InputError(msg)
    if groupby is None:
        return Request(names, None, np.empty(0, dtype=np.int64))
    if groupby not in adata.obs:
        msg = f"groupby={groupby!r} is not a column of adata.obs."
        raise InputError(msg)
    if not head.is_classes and len(names) > 1:
        msg = (
            f"groupby={groupby!r} gives one column a group, and {len(names)} values are to be "
            "explained. Name one in classes."
        )
        raise InputError(msg)
    column = pd.Categorical(adata.obs[groupby]).remove_unused_categories()
    groups = [str(c) for c in column.categories]
    return Request(names, groups, column.codes.astype(np.int64))


def explain_rows(
    model: Explainable,
    heads: tuple[Head, Head],
    prepared: PreparedAnnData,
    rows: NDArray[np.int64],
    request: Request,
    settings: Settings,
) -> pd.DataFrame:
    """Compute mean attributions to genes, by class or group."""
    main, head = heads
    genes, size = model.genes, settings.rows_at_a_time(len(model.genes))
    everything = log_batches(model.module, prepared, np.arange(prepared.n_obs), size)
    found = first_pass(everything, main, len(genes))
    references = reference_rows(model, prepared, found, settings)
    columns = head.columns if request.groups is None else request.groups
    sums = AttributionSums(
        head, len(columns), found.tied_to_domain(), settings.method, settings.n_steps
    )
    batches = log_batches(model.module, prepared, rows, size)
    with isolate_rng():
        # Captum draws from the generators of numpy and torch as it finds them.
        np.random.seed(model.seed)  # noqa: NPY002
        torch.manual_seed(model.seed)
        add_rows(sums, batches, rows, request, references)
    frame = sums.frame(genes, columns)
    if request.groups is None:
        frame = frame[request.columns]
    if len(np.unique(found.domain)) < 2:
        del frame.attrs["tied_share"]
    baseline = settings.baseline if isinstance(settings.baseline, str) else "array"
    return with_attributes(frame, method=settings.method, target=head.name, baseline=baseline)


def add_rows(
    sums: AttributionSums,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    rows: NDArray[np.int64],
    request: Request,
    references: list[torch.Tensor],
) -> None:
    """Add the attributions of ``rows``, whose log values come in batches."""
    asked = torch.tensor([c in request.columns for c in sums.head.columns])
    start = 0
    for u, domain in batches:
        group = None
        if request.groups is not None:
            group = torch.from_numpy(request.code[rows[start : start + len(u)]]).to(u.device)
        for contrast in contrasts(sums.head, u, domain, asked.to(u.device), group):
            sums.add(u, domain, contrast, references)
        start += len(u)


def with_attributes(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Add to ``attrs``, and keep of it the entries of columns that are there."""
    kept = {
        name: {c: value[c] for c in frame.columns} if isinstance(value, dict) else value
        for name, value in frame.attrs.items()
    }
    frame.attrs = {**values, **kept}
    return frame


def rank_stability(frames: list[pd.DataFrame]) -> dict[str, float]:
    """Mean Spearman correlation of each column over pairs of frames."""
    pairs = [a.corrwith(b, method="spearman") for a, b in combinations(frames, 2)]
    return pd.concat(pairs, axis=1).mean(axis=1)[frames[0].columns].to_dict()


def write(frame: pd.DataFrame, adata: AnnData, key: str) -> None:
    """Write attributions to ``varm``; genes that the model does not know get NaN."""
    written = frame.reindex(adata.var_names.astype(str)).astype("float32")
    # To h5ad, a slash is a folder.
    written.columns = [str(c).replace("/", "|") for c in written.columns]
    adata.varm[key] = written.set_axis(adata.var_names)
