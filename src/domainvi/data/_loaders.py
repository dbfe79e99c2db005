"""Splits, and batches for training: a labelled half with classes balanced, a half of all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from scvi.dataloaders import AnnDataLoader
from torch.utils.data import DataLoader, Sampler

from ._disk import DiskMatrix, PooledBatches
from ._matrix import cumulative, draw
from ._rows import DeviceRows, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ._rows import PreparedManager, PreparedRows

    Split = tuple[NDArray[np.int64], NDArray[np.int64]]


# So that a cohort of a hundred rows is trained for as many steps an epoch as a larger one.
MIN_STEPS_PER_EPOCH = 20
# Batches of this size are drawn from fewer rows as well.
SMALLEST_CAP = 128
TEACHER_KEY = "teacher"
ROWS_KEY = "rows"


def labelled_weights(
    domain: NDArray[np.int64],
    label: NDArray[np.int64],
    is_source: NDArray[np.bool_],
    target_share: float,
) -> NDArray[np.float64]:
    """Weigh rows for sampling: classes the same, and domains that have one, none for -1.

    Of each class that both kinds of domains have, labelled rows of targets get ``target_share``.
    """
    weight = np.zeros(len(label))
    known = label >= 0
    strata, inverse, counts = np.unique(
        np.stack([domain[known], label[known]]), axis=1, return_inverse=True, return_counts=True
    )
    group = is_source[strata[0]].astype(np.int64)
    n_domains = np.zeros((2, label.max(initial=0) + 1))
    np.add.at(n_domains, (group, strata[1]), 1)
    share = np.array([[target_share], [1 - target_share]]) * (n_domains > 0)
    share /= np.maximum(share.sum(axis=0), 1e-300)
    of_stratum = share[group, strata[1]] / n_domains[group, strata[1]] / counts
    weight[known] = of_stratum[inverse.ravel()]
    return weight / max(weight.sum(), 1e-300)


def to_tensors(batch: Any) -> dict[str, torch.Tensor]:
    """Turn the arrays of a batch into tensors; those that pandas lends read-only are copied."""
    return {
        key: torch.from_numpy(values if values.flags.writeable else values.copy())
        for key, values in batch.items()
    }


def row_loader(
    manager: PreparedManager, rows: NDArray[np.int64] | None, batch_size: int
) -> AnnDataLoader:
    """Load rows in order, all of them if ``None``."""
    # A loader draws a seed for workers whenever it starts, from torch's own numbers if not told.
    return AnnDataLoader(
        manager, rows, batch_size=batch_size, collate_fn=to_tensors, generator=torch.Generator()
    )


def process_number() -> int:
    """Rank of this process among those that train together, 0 if it is alone."""
    return torch.distributed.get_rank() if trains_with_others() else 0


def trains_with_others() -> bool:
    """Whether this process is one of several that train together."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


class TransferSampler(Sampler[list[int]]):
    """Yield batches of row numbers, the first half labelled, the second from all rows in turn.

    An epoch passes over the rows once and has at least ``MIN_STEPS_PER_EPOCH`` batches. With
    several processes, each takes its part of batches that are ``n_processes`` times as large and
    the same for all of them. ``weight`` is of each of ``rows`` in the labelled half; all zero if
    there is none.
    """

    def __init__(
        self, rows: NDArray[np.int64], weight: NDArray[np.float64], batch_size: int, seed: int
    ) -> None:
        self.rows = rows
        # Summed once: to draw with weights, numpy would sum over all rows at every step.
        self.cumulative = cumulative(weight)
        self.batch_size = batch_size
        self.generator = np.random.default_rng(seed)
        self.share_among(1)

    def share_among(self, n_processes: int) -> None:
        """Set the number of processes that train together."""
        self.n_processes = n_processes
        # More would draw the same rows again, at the cost of time and memory.
        most = max(SMALLEST_CAP, -(-len(self.rows) // n_processes))
        size = min(self.batch_size, most) * n_processes
        self.n_labelled = size // 2 if self.cumulative[-1:].any() else 0
        self.n_any = min(size - self.n_labelled, len(self.rows))
        self.n_steps = max(MIN_STEPS_PER_EPOCH, -(-len(self.rows) // max(self.n_any, 1)))

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[list[int]]:
        order = np.empty(0, dtype=np.int64)
        for _ in range(self.n_steps):
            if len(order) < self.n_any:
                order = np.concatenate([order, self.generator.permutation(self.rows)])
            batch, order = order[: self.n_any], order[self.n_any :]
            if self.n_labelled:
                drawn = self.rows[draw(self.cumulative, self.n_labelled, self.generator)]
                batch = np.concatenate([drawn, batch])
            yield batch[process_number() % self.n_processes :: self.n_processes].tolist()


class TransferDataModule(pl.LightningDataModule):
    """Training and validation batches of a prepared object.

    ``weigh`` gives the weights of row numbers in the labelled half; ``teacher`` has the class
    probabilities of all rows that unlabelled ones learn from.
    """

    def __init__(
        self,
        manager: PreparedManager,
        train_idx: NDArray[np.int64],
        val_idx: NDArray[np.int64],
        weigh: Callable[[NDArray[np.int64]], NDArray[np.float64]],
        batch_size: int,
        seed: int,
        teacher: NDArray[np.floating] | None = None,
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.loaded: PreparedRows | None = None
        self.pooled: PooledBatches | None = None
        self.manager = manager
        self.train_idx, self.val_idx = train_idx, val_idx
        self.test_idx = np.empty(0, dtype=np.int64)
        self.n_train, self.n_val = len(train_idx), len(val_idx)
        self.batch_size = batch_size
        # Read by scvi-tools, which logs them to MLflow.
        self.data_loader_kwargs = {"batch_size": batch_size}
        self.train_size = self.n_train / max(self.n_train + self.n_val, 1)
        self.weigh, self.seed = weigh, seed
        self.sampler = TransferSampler(train_idx, weigh(train_idx), batch_size, seed)

    def train_dataloader(self) -> DataLoader:
        """Batches of :class:`TransferSampler`; from pools of rows when they stay on disk."""
        rows = self.manager.create_torch_dataset()
        self.loaded, rows.columns[ROWS_KEY] = rows, np.arange(len(rows))
        if self.teacher is not None:
            rows.columns[TEACHER_KEY] = self.teacher
        # A loader draws from torch's own numbers if it is not given others.
        others: dict[str, Any] = {"batch_size": None, "generator": torch.Generator()}
        if isinstance(rows.matrix, DiskMatrix):
            self.pooled = self._pooled(rows)
            return DataLoader(self.pooled, collate_fn=to_tensors, **others)
        device = torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device
        if fits(rows.matrix, device):
            return DataLoader(DeviceRows(rows, device), sampler=self.sampler, **others)
        others["pin_memory"] = device.type == "cuda"
        return DataLoader(rows, sampler=self.sampler, collate_fn=to_tensors, **others)

    def teardown(self, stage: str) -> None:
        """Free the teacher and the pool: the trainer, which a model keeps, holds their loaders."""
        self.teacher = None
        if self.loaded is not None:
            self.loaded.columns.pop(TEACHER_KEY, None)
        if self.pooled is not None:
            self.pooled.batches.close()

    def _pooled(self, rows: PreparedRows) -> PooledBatches:
        """Each process reads rows of its own."""
        n, rank = self.sampler.n_processes, process_number()
        return PooledBatches(
            rows,
            self.train_idx[rank::n],
            self.weigh,
            self.sampler.n_labelled // n,
            max(1, self.sampler.n_any // n),
            self.sampler.n_steps,
            self.seed + rank,
        )

    def val_dataloader(self) -> AnnDataLoader | list:
        """Yield validation rows in order; nothing when there are none."""
        if not self.n_val:
            return []
        return row_loader(self.manager, self.val_idx, max(self.batch_size, 512))


# Below this many rows, holding one out costs training more than validation gains.
_SMALL = 3


def stratified_split(
    domain: NDArray[np.int64],
    label: NDArray[np.int64],
    validation_size: float = 0.1,
    rng: np.random.Generator | int = 0,
) -> Split:
    """Split rows into train and validation, alike in every domain and class.

    A stratum is one label in one domain; unlabelled rows (-1) of a domain form a stratum too. Each
    stratum gives validation its share (largest remainder rounding), keeps at least one row for
    training, and stays there whole if it has fewer than three rows. So every class that has a
    labelled row has one in training.

    Returns sorted row numbers of training and of validation, which is empty if every stratum is
    small.

    Examples
    --------
    >>> domain, label = np.repeat([0, 1], 10), np.tile([0, 1], 10)
    >>> train, validation = dv.data.stratified_split(domain, label, 0.2)
    >>> len(train), len(validation)
    (16, 4)
    """
    pairs = np.column_stack([domain, label])
    strata = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    rng = np.random.default_rng(rng)
    quota = _quotas(np.bincount(strata), validation_size, rng)
    shuffled = rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    starts = np.searchsorted(strata[order], np.arange(len(quota)))
    rank = np.arange(len(strata)) - starts[strata[order]]
    held_out = rank < quota[strata[order]]
    return np.sort(order[~held_out]), np.sort(order[held_out])


def _quotas(
    sizes: NDArray[np.int64], validation_size: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows that each stratum gives to validation."""
    share = np.where(sizes >= _SMALL, sizes * validation_size, 0.0)
    # The small addend keeps 0.1 * 30 from falling to 2.
    quota = np.floor(share + 1e-9).astype(np.int64)
    left = round(float(sizes.sum() * validation_size)) - int(quota.sum())
    shuffled = rng.permutation(len(sizes))
    order = shuffled[np.argsort(-(share - quota)[shuffled], kind="stable")]
    order = order[share[order] > quota[order] + 1e-9]
    quota[order[: max(left, 0)]] += 1
    return np.minimum(quota, sizes - 1)
