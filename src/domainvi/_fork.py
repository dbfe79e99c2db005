"""Refuse to work in a forked process whose torch threads stayed behind, where it would hang.

A fork copies the memory of a process and one of its threads. The workers of torch's thread pool are
not copied, and the first operation that is shared out among them waits for ever. This concerns only
a child that was forked after a model had been made or used with more than one thread, and only as
long as it does not set its own number of threads to one.
"""

from __future__ import annotations

import os

from domainvi.errors import ForkedProcessError

# Threads that models have used: in this process, and in the processes that it was forked from.
_used, _left_behind = 1, 1


def _after_fork() -> None:
    """Note, in a forked process, that the threads which the parent used are not there."""
    global _used, _left_behind
    _used, _left_behind = 1, max(_used, _left_behind)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def refuse_dangerous_fork() -> None:
    """Stand before the first torch operation of everything that makes or uses a model."""
    import torch

    global _used
    n_threads = torch.get_num_threads()
    if n_threads > 1 and _left_behind > 1:
        msg = (
            f"This process was forked after DomainVI had worked with {_left_behind} threads, which "
            "a fork does not copy: the next operation would wait for them for ever. Start workers "
            'by multiprocessing.get_context("spawn") or get_context("forkserver") (joblib: '
            'backend="loky"), or call torch.set_num_threads(1) first in each worker.'
        )
        raise ForkedProcessError(msg)
    _used = max(_used, n_threads)
