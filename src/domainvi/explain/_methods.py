"""Captum's methods behind one call, and the settings of an explanation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from domainvi.errors import InputError

from ._deeplift import Paired

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    Score = Callable[..., torch.Tensor]
    Arguments = tuple[torch.Tensor, ...]

Method = Literal["deeplift", "integrated_gradients", "gradient_shap"]
BASELINES = ("domain", "global", "zero")
# Values in a batch; some fifty arrays of this size are alive at a time.
BATCH_VALUES = 2**19
# How much may be missing from a row's sum before integrated gradients take smaller steps.
TOLERANCE = 5e-4
MAX_DOUBLINGS = 5


@dataclass(frozen=True)
class Settings:
    """How rows are explained; :meth:`domainvi.DomainVI.explain` describes the fields."""

    method: Method
    baseline: Literal["domain", "global", "zero"] | ArrayLike
    n_steps: int
    batch_size: int | None

    def check(self, n_genes: int, stability: int) -> None:
        """Refuse values that cannot be used."""
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
        """Return the number of rows in a batch."""
        return self.batch_size or max(1, BATCH_VALUES // n_genes)


def captum_methods() -> Any:
    """Import captum's methods, which come with an extra."""
    try:
        import captum.attr
    except ImportError as error:
        msg = "explain needs captum, which is not installed. Run: pip install 'domainvi[interpret]'"
        raise InputError(msg) from error
    return captum.attr


class PairedScore(torch.nn.Module):
    """A score as captum's DeepLift calls it, with multipliers for every layer that we have.

    captum has rules for some activation modules and takes the gradient of all else (GELU, layer
    normalisation, mixtures) without a word. So it drives, and :class:`Paired` has the rules.
    """

    def __init__(self, score: Score) -> None:
        super().__init__()
        self.score = score

    def forward(self, u: torch.Tensor, *arguments: torch.Tensor) -> torch.Tensor:
        """Score rows stacked on their references."""
        return self.score(u.as_subclass(Paired), *arguments).as_subclass(torch.Tensor)


def deeplift(
    score: Score, u: torch.Tensor, baseline: torch.Tensor, arguments: Arguments, n_steps: int
) -> torch.Tensor:
    """Multipliers times differences; there are no steps."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting forward, backward hooks")
        explainer = captum_methods().DeepLift(PairedScore(score))
        return explainer.attribute(u, baseline, additional_forward_args=arguments)


def integrated_gradients(
    score: Score, u: torch.Tensor, baseline: torch.Tensor, arguments: Arguments, n_steps: int
) -> torch.Tensor:
    """Gradients along the path; twice the steps for rows whose sum is off, and again."""
    explainer = captum_methods().IntegratedGradients(score)
    with torch.no_grad():
        moved = score(u, *arguments) - score(baseline, *arguments)
    out, rows = torch.zeros_like(u), torch.arange(len(u), device=u.device)
    for doubling in range(1 + MAX_DOUBLINGS):
        out[rows] = explainer.attribute(
            u[rows],
            baseline[rows],
            additional_forward_args=tuple(a[rows] for a in arguments),
            n_steps=n_steps * 2**doubling,
            internal_batch_size=len(rows),
        ).detach()
        rows = torch.nonzero((out.sum(dim=1) - moved).abs() > TOLERANCE).squeeze(1)
        if not len(rows):
            break
    return out


def gradient_shap(
    score: Score, u: torch.Tensor, baseline: torch.Tensor, arguments: Arguments, n_steps: int
) -> torch.Tensor:
    """Gradients at random points; captum holds all draws of its rows, so it gets few at a time."""
    explainer = captum_methods().GradientShap(score)
    size = max(1, len(u) // n_steps)
    parts = [
        explainer.attribute(
            u[i : i + size],
            baseline,
            n_samples=n_steps,
            additional_forward_args=tuple(a[i : i + size] for a in arguments),
        )
        for i in range(0, len(u), size)
    ]
    return torch.cat(parts)


# Attribute the scores of rows to genes. A score takes rows and further tensors with one entry a row
# and returns one number a row. There is one reference a row, any number for gradient SHAP, and the
# steps are points on the path, or draws.
METHODS: dict[str, Callable[[Score, torch.Tensor, torch.Tensor, Arguments, int], torch.Tensor]] = {
    "deeplift": deeplift,
    "integrated_gradients": integrated_gradients,
    "gradient_shap": gradient_shap,
}
