"""The steps of an explanation, for any model that has scores of log values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from domainvi.errors import InputError

from ._attributors import METHODS
from ._contributions import Contributions, questions
from ._references import survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from numpy.typing import ArrayLike, NDArray

    from domainvi.data import PreparedAnnData

    from ._attributors import Method
    from ._readout import Readout
    from ._references import Survey

BASELINES = ("domain", "global", "zero")
# Values in a batch; some fifty arrays of this size are alive at a time.
BATCH_VALUES = 2**19
# Rows of each domain that gradient SHAP draws from.
N_BACKGROUND = 100


class Explainable(Protocol):
    """What a model has to have for :class:`ExplanationMixin`."""

    seed: int

    @property
    def genes(self) -> list[str]: ...

    def _check_trained(self) -> None: ...

    def _own_data(self) -> AnnData: ...

    def _validate_anndata(self, adata: AnnData | None = None) -> PreparedAnnData: ...

    def _row_numbers(
        self, work: PreparedAnnData, indices: Sequence | NDArray | None
    ) -> NDArray[np.int64]: ...

    def _readout(self, work: PreparedAnnData, target: str | None) -> Readout:
        """Return the head that ``target`` names; ``None`` is the main one."""

    def _log_batches(
        self, work: PreparedAnnData, rows: NDArray[np.int64], batch_size: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield log values and domain codes of rows, in order."""

    def _retrained(self, seed: int) -> Any:
        """Train such a model anew from another seed."""


@dataclass(frozen=True)
class Settings:
    """How rows are explained; see ``explain`` for the fields."""

    method: Method
    baseline: Literal["domain", "global", "zero"] | ArrayLike
    n_steps: int
    batch_size: int | None

    def check(self, n_genes: int, stability: int) -> None:
        """Refuse what cannot be used."""
        if self.method not in METHODS:
            msg = f"method={self.method!r} is not known. Use one of {', '.join(METHODS)}."
            raise InputError(msg)
        for name, value, least in (
            ("stability", stability, 0),
            ("n_steps", self.n_steps, 1),
            ("batch_size", 1 if self.batch_size is None else self.batch_size, 1),
        ):
            if value < least:
                msg = f"{name}={value} must be at least {least}."
                raise InputError(msg)
        if isinstance(self.baseline, str):
            if self.baseline not in BASELINES:
                msg = (
                    f"baseline={self.baseline!r} is not known. Use one of {', '.join(BASELINES)}, "
                    "or an array with one log value a gene."
                )
                raise InputError(msg)
            return
        values = np.asarray(self.baseline, dtype=np.float64)
        if values.shape != (n_genes,) or not np.isfinite(values).all():
            msg = (
                f"baseline has shape {values.shape}; expected {n_genes} finite log values, one a "
                "gene, in the order of model.genes."
            )
            raise InputError(msg)

    def rows_at_a_time(self, n_genes: int) -> int:
        """Rows a batch."""
        return self.batch_size or max(1, BATCH_VALUES // n_genes)


@dataclass(frozen=True)
class Groups:
    """Groups of rows: names, and the code of each row, -1 for none."""

    names: list[str]
    code: NDArray[np.int64]


def asked_columns(readout: Readout, classes: Sequence[str] | None) -> list[str]:
    """Check which columns of a readout are asked for; all in their order if ``None``."""
    if classes is None:
        return list(readout.order)
    names = [classes] if isinstance(classes, str) else [str(c) for c in classes]
    if not names or (unknown := sorted(set(names) - set(readout.columns))):
        msg = (
            f"classes={names!r} must name some of {', '.join(readout.order)}."
            if not names
            else f"classes: {', '.join(unknown)} not known. Use some of {', '.join(readout.order)}."
        )
        raise InputError(msg)
    return names


def groups_of(adata: AnnData, key: str, readout: Readout, asked: list[str]) -> Groups:
    """Group rows by a column of ``obs``."""
    if key not in adata.obs:
        msg = f"groupby={key!r} is not a column of adata.obs."
        raise InputError(msg)
    if not readout.is_classes and len(asked) > 1:
        msg = (
            f"groupby={key!r} gives one column a group, and {len(asked)} values are to be "
            "explained. Name one in classes."
        )
        raise InputError(msg)
    column = pd.Categorical(adata.obs[key]).remove_unused_categories()
    return Groups([str(c) for c in column.categories], column.codes.astype(np.int64))


def explain_rows(
    model: Explainable,
    work: PreparedAnnData,
    rows: NDArray[np.int64],
    target: str | None,
    asked: list[str],
    groups: Groups | None,
    settings: Settings,
) -> pd.DataFrame:
    """Compute mean attributions batch by batch, of arguments that were checked."""
    size = settings.rows_at_a_time(len(model.genes))
    main = readout = model._readout(work, None)
    if target is not None:
        readout = model._readout(work, target)
    found = look_over(model, work, main, size)
    references = references_of(model, work, found, settings, size)
    columns = readout.columns if groups is None else groups.names
    sums = Contributions(
        readout, len(columns), found.tied_to_domain(), settings.method, settings.n_steps
    )
    is_asked = torch.tensor([c in asked for c in readout.columns])
    start = 0
    with isolate_rng():
        # Captum draws from the generators of numpy and torch as it finds them.
        np.random.seed(model.seed)  # noqa: NPY002
        torch.manual_seed(model.seed)
        for u, domain in model._log_batches(work, rows, size):
            here = rows[start : start + len(u)]
            group = None if groups is None else torch.from_numpy(groups.code[here]).to(u.device)
            for question in questions(readout, u, domain, is_asked.to(u.device), group):
                sums.add(u, domain, question, references)
            start += len(u)
    frame = sums.frame(model.genes, columns)
    if groups is None:
        frame = frame[asked]
    if len(np.unique(found.domain)) < 2:
        del frame.attrs["tied_share"]
    baseline = settings.baseline if isinstance(settings.baseline, str) else "array"
    return with_attributes(frame, method=settings.method, target=readout.name, baseline=baseline)


def with_attributes(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Add to ``attrs``, and keep of it what concerns the columns that are there."""
    kept = {
        name: {c: value[c] for c in frame.columns} if isinstance(value, dict) else value
        for name, value in frame.attrs.items()
    }
    frame.attrs = {**values, **kept}
    return frame


def look_over(model: Explainable, work: PreparedAnnData, main: Readout, size: int) -> Survey:
    """Pass over all rows once; classes are those that the main head calls."""

    def label_of(u: torch.Tensor, domain: torch.Tensor) -> torch.Tensor:
        if main.is_classes:
            return main.score(u, domain).argmax(dim=1)
        return torch.zeros_like(domain)

    shape = (main.n_domains, len(main.columns) if main.is_classes else 1, len(model.genes))
    return survey(model._log_batches(work, np.arange(work.n_obs), size), label_of, shape)


def references_of(
    model: Explainable, work: PreparedAnnData, found: Survey, settings: Settings, size: int
) -> list[torch.Tensor]:
    """For each domain what its rows are compared with: one row, or a sample for gradient SHAP."""
    n_domains, n_genes = len(found.count), len(model.genes)
    baseline = settings.baseline
    if not isinstance(baseline, str) or baseline == "zero":
        point = np.zeros(n_genes) if isinstance(baseline, str) else np.asarray(baseline)
        return [torch.from_numpy(point.astype(np.float32))[None]] * n_domains
    if settings.method != "gradient_shap":
        if baseline == "global":
            points = np.tile(found.overall_mean(), (n_domains, 1))
        else:
            points = found.balanced_means()
        return list(torch.from_numpy(points.astype(np.float32))[:, None])
    rng = np.random.default_rng(model.seed)
    if baseline == "global":
        drawn = [rng.choice(work.n_obs, N_BACKGROUND)] * n_domains
    else:
        drawn = found.balanced_draw(N_BACKGROUND, rng)
    return [
        torch.cat(
            [torch.empty(0, n_genes), *(u.cpu() for u, _ in model._log_batches(work, r, size))]
        )
        for r in drawn
    ]


def rank_stability(frames: list[pd.DataFrame]) -> dict[str, float]:
    """Mean Spearman correlation of each column over pairs of frames."""
    pairs = [a.corrwith(b, method="spearman") for a, b in combinations(frames, 2)]
    return pd.concat(pairs, axis=1).mean(axis=1)[frames[0].columns].to_dict()
