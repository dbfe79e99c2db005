"""Collections of any size, annotated shard by shard as a dask graph."""

from ._annotate_lazy import annotate_lazy as annotate_lazy
