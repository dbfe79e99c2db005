"""Explain rows: a head of a model, what is asked of it, attributions by batch, and the result."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from domainvi import _keys
from domainvi.errors import InputError

from ._methods import Settings, captum_methods
from ._references import first_pass, log_batches, reference_rows
from ._sums import AttributionSums, contrasts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from domainvi.data import PreparedAnnData

    from ._methods import Method


LATENTS = "latent"


@dataclass(frozen=True)
class Head:
    """A head to explain.

    Parameters
    ----------
    name
        Name of the phenotype, and of the array that is written.
    columns
        Names of the scores, in their order.
    score
        Takes log values ``(n_rows, n_genes)`` and domain codes ``(n_rows,)``, and returns
        ``(n_rows, n_columns)``: log-probabilities of classes, or values.
    is_classes
        Whether the scores are those of classes, so that one is explained against another.
    n_domains
        Number of domains of the rows, those that are new to the model among them.
    order
        The columns in the order in which they are shown.
    """

    name: str
    columns: list[str]
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    is_classes: bool
    n_domains: int
    order: list[str]


class Explainable(Protocol):
    """The parts of a model that explanations need."""

    module: Any
    seed: int

    @property
    def genes(self) -> list[str]:
        """Genes of the model, in its order."""

    def _check_trained(self) -> None: ...

    def _own_data(self) -> AnnData: ...

    def _validate_anndata(self, adata: AnnData | None = None) -> PreparedAnnData: ...

    def _row_numbers(
        self, prepared: PreparedAnnData, indices: Sequence | NDArray | None, /
    ) -> NDArray: ...

    def _head(self, prepared: PreparedAnnData, target: str | None) -> Head:
        """Return the head that ``target`` names, the main one if ``None``."""

    def _retrained(self, seed: int) -> Any:
        """Train such a model anew from another seed; refuse where that cannot be done."""


class Request(NamedTuple):
    """Columns of a head to explain, names of groups of rows, and the group of each, -1 for none."""

    columns: list[str]
    groups: list[str] | None = None
    code: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def explain(
    model: Explainable,
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
    """Attribute the scores of a head to genes; see :meth:`domainvi.DomainVI.explain`."""
    model._check_trained()
    settings = Settings(method, baseline, n_steps, batch_size)
    settings.check(len(model.genes), stability)
    captum_methods()
    data = model._own_data() if adata is None else adata
    if stability:
        model._own_data()  # The rows that other models are trained on.
    prepared = model._validate_anndata(adata)
    rows = model._row_numbers(prepared, indices)
    frames: list[pd.DataFrame] = []
    for seed in range(model.seed, model.seed + 1 + stability):
        repeated = model._retrained(seed) if frames else model
        # The main head says of what class rows are.
        main = repeated._head(prepared, None)
        head = main if target is None else repeated._head(prepared, target)
        request = checked_request(head, data, classes, groupby)
        frames.append(explain_rows(repeated, (main, head), prepared, rows, request, settings))
    frame = frames[0]
    if stability:
        frame.attrs["stability"] = rank_stability(frames)
    if write_varm:
        key = _keys.attribution(head.name) if write_varm is True else write_varm
        write(frame, data, key)
    return frame


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
        return Request(names)
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
    sums = AttributionSums(head, len(columns), found.tied_to_domain(), settings)
    batches = log_batches(model.module, prepared, rows, size)
    with isolate_rng():
        # Captum draws from the generators of numpy and torch as it finds them.
        np.random.seed(model.seed)  # noqa: NPY002
        torch.manual_seed(model.seed)
        add_rows(sums, batches, rows, request, references)
    shown = request.columns if request.groups is None else columns
    frame = sums.frame(genes, columns, shown)
    if len(np.unique(found.domain)) < 2:
        del frame.attrs["tied_share"]
    baseline = settings.baseline if isinstance(settings.baseline, str) else "array"
    asked = {"method": settings.method, "target": head.name, "baseline": baseline}
    frame.attrs = {**asked, **frame.attrs}
    return frame


def add_rows(
    sums: AttributionSums,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    rows: NDArray[np.int64],
    request: Request,
    references: list[torch.Tensor],
) -> None:
    """Add the attributions of ``rows``, whose log values come in batches."""
    asked = torch.tensor([c in request.columns for c in sums.head.columns])
    code = None if request.groups is None else torch.from_numpy(request.code[rows])
    start = 0
    for u, domain in batches:
        group = None if code is None else code[start : start + len(u)].to(u.device)
        for contrast in contrasts(sums.head, u, domain, asked.to(u.device), group):
            sums.add(u, domain, contrast, references)
        start += len(u)


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
