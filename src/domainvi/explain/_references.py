"""Rows on the log scale, and those that others are compared with, from a first pass over all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domainvi.data import row_loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from domainvi.data import PreparedAnnData

    from ._explain import Explainable, Head
    from ._methods import Settings

# A class that fewer rows of a domain are called is left out of the domain's balanced mean.
MIN_ROWS = 5
# Share of genes, the most tied to the domain, on which attribution is added up.
TIED_SHARE = 0.1
# Rows of each domain that gradient SHAP draws from.
N_BACKGROUND = 100


def log_batches(
    module: Any, prepared: PreparedAnnData, rows: NDArray, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield log values and domain codes of rows, in order, on the module's device.

    To a module that takes no domain, all rows are of one.
    """
    for tensors in row_loader(prepared.manager, rows, batch_size):
        on_device = {k: v.to(module.device) for k, v in tensors.items()}
        inputs = module._get_inference_input(on_device)
        u, _ = module.log_values(inputs["x"].float(), inputs["size_factor"])
        domain = inputs.get("batch_index", u.new_zeros(len(u), 1))
        yield u, domain.squeeze(-1).long()


@dataclass(frozen=True)
class FirstPass:
    """Sums over rows, by domain and class."""

    # Domain and predicted class of each row.
    domain: NDArray[np.int64]
    label: NDArray[np.int64]
    # Rows (n_domains, n_classes), sums of log values (..., n_genes), and of all squares (n_genes,).
    count: NDArray[np.float64]
    total: NDArray[np.float64]
    square: NDArray[np.float64]

    def balanced_means(self) -> NDArray[np.float64]:
        """Mean of the class means of each domain, shape ``(n_domains, n_genes)``.

        Classes with fewer than 5 rows in a domain are left out, unless it has no other.
        """
        used = self.count >= MIN_ROWS
        used = np.where(used.any(axis=1, keepdims=True), used, self.count > 0)
        means = self.total / np.maximum(self.count, 1)[..., None]
        n_used = np.maximum(used.sum(axis=1, keepdims=True), 1)
        return np.einsum("dk,dkg->dg", used / n_used, means)

    def overall_mean(self) -> NDArray[np.float64]:
        """Mean of all rows, shape ``(n_genes,)``."""
        return self.total.sum(axis=(0, 1)) / max(self.count.sum(), 1)

    def tied_to_domain(self) -> NDArray[np.bool_]:
        r"""Mark the tenth of genes that tell the domain best.

        By the share of the variance within classes that the domain explains,
        :math:`\eta^2 = \sum_{dk} n_{dk} (\mu_{dk} - \mu_k)^2 / \sum_i (u_i - \mu_{k(i)})^2`.
        """
        by_class = self.count.sum(axis=0)
        of_class = (self.total.sum(axis=0) ** 2 / np.maximum(by_class, 1)[:, None]).sum(axis=0)
        of_cell = (self.total**2 / np.maximum(self.count, 1)[..., None]).sum(axis=(0, 1))
        within = np.maximum(self.square - of_class, 1e-12)
        share = np.where(within > 1e-8 * self.square, (of_cell - of_class) / within, 0.0)
        n = max(1, round(TIED_SHARE * len(share)))
        tied = np.zeros(len(share), dtype=bool)
        tied[np.argsort(-share, kind="stable")[:n]] = True
        return tied

    def balanced_draw(self, n: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Draw ``n`` rows of each domain, its classes equally often; no row of an empty domain."""
        drawn = []
        for d in range(len(self.count)):
            rows = np.flatnonzero(self.domain == d)
            counts = self.count[d][self.label[rows]]
            weight = np.where(counts >= MIN_ROWS, 1 / np.maximum(counts, 1), 0)
            weight = weight if weight.any() else 1 / np.maximum(counts, 1)
            chosen = rng.choice(rows, n, p=weight / weight.sum()) if len(rows) else rows
            drawn.append(chosen)
        return drawn


@torch.no_grad()
def first_pass(
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]], head: Head, n_genes: int
) -> FirstPass:
    """Add up log values by domain and the class that ``head`` calls, or one class."""
    n_domains, n_classes = head.n_domains, len(head.columns) if head.is_classes else 1
    count = torch.zeros(n_domains * n_classes, dtype=torch.float64)
    total = torch.zeros(n_domains * n_classes, n_genes, dtype=torch.float64)
    square = torch.zeros(n_genes, dtype=torch.float64)
    codes = []
    for u, domain in batches:
        cell = domain.cpu() * n_classes
        if head.is_classes:
            cell += head.score(u, domain).argmax(dim=1).cpu()
        values = u.cpu().double()
        count += torch.bincount(cell, minlength=len(count))
        total.index_add_(0, cell, values)
        square += values.square().sum(dim=0)
        codes.append(cell)
    cells = torch.cat(codes).numpy()
    return FirstPass(
        domain=cells // n_classes,
        label=cells % n_classes,
        count=count.view(n_domains, n_classes).numpy(),
        total=total.view(n_domains, n_classes, n_genes).numpy(),
        square=square.numpy(),
    )


def reference_rows(
    model: Explainable, prepared: PreparedAnnData, found: FirstPass, settings: Settings
) -> list[torch.Tensor]:
    """Compute for each domain the row to compare with, or a sample of rows for gradient SHAP."""
    n_domains, n_genes = len(found.count), len(model.genes)
    baseline = settings.baseline
    if not isinstance(baseline, str) or baseline == "zero":
        point = np.zeros(n_genes) if isinstance(baseline, str) else np.asarray(baseline)
        return [torch.from_numpy(point.astype(np.float32))[None]] * n_domains
    if settings.method != "gradient_shap":
        points = found.balanced_means()
        if baseline == "global":
            points[:] = found.overall_mean()
        return list(torch.from_numpy(points.astype(np.float32))[:, None])
    rng = np.random.default_rng(model.seed)
    if baseline == "global":
        drawn = [rng.choice(prepared.n_obs, N_BACKGROUND)] * n_domains
    else:
        drawn = found.balanced_draw(N_BACKGROUND, rng)
    size, nothing = settings.rows_at_a_time(n_genes), torch.empty(0, n_genes)
    return [
        torch.cat([nothing, *(u.cpu() for u, _ in log_batches(model.module, prepared, r, size))])
        for r in drawn
    ]
