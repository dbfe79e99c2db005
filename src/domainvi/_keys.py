"""Every key that DomainVI writes to an AnnData object, in one place."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LATENT = "X_domainvi"
RESULTS = "domainvi"

# Fields of ``uns["domainvi"]``.
AUDIT = "audit"
BATCH_KEY = "batch_key"
CAUTIONS = "cautions"
CLASSES = "classes"
COLUMNS = "columns"
GENES_MATCHED = "genes_matched"
GUARD = "guard"
LABELS_KEY = "labels_key"
LABEL_TREE = "label_tree"
LEVELS = "levels"
MODALITIES = "modalities"
NOTES = "notes"
PARAMETERS = "params"
PREDICTION_SETS = "prediction_sets"
RESTRICTED_TO = "restricted_to"
ROWS_WITHOUT_VALUES = "rows_without_values"
SET_ASIDE = "classes_set_aside"
TARGETS = "targets"
UNKNOWN_ROWS = "unknown_rows"
UNLABELED_CATEGORY = "unlabeled_category"
UNSEEN_COHORTS = "unseen_cohorts"
VERSION = "version"

# Fields of the guard in it. The first is in the history of a model as well.
ROW_WISE_SHARE = "row_wise_share"


# Names of files have 255 bytes at most, and zarr makes one of each key and what is put behind it.
_MOST_BYTES = 200
UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")


def storable(key: str) -> str:
    """Turn a name into a key that h5ad, h5mu and zarr can hold: none of a path, and not empty.

    Long ones are cut, and end in eight letters that tell them apart.

    Examples
    --------
    >>> storable("cell type/broad"), storable("."), storable(""), storable("_index")
    ('cell type|broad', '_', '_', '_index_')
    >>> len(storable("a" * 300)), storable("a" * 300) == storable("a" * 301)
    (209, False)
    """
    key = UNSTORABLE.sub("_", key.replace("/", "|"))
    if key == "_index":  # which anndata keeps for the names of the rows
        return "_index_"
    whole = key.encode()
    if len(whole) > _MOST_BYTES:
        digest = hashlib.blake2b(whole, digest_size=4).hexdigest()
        return f"{whole[:_MOST_BYTES].decode(errors='ignore')}~{digest}"
    return key if key.strip(".") else "_" * max(len(key), 1)


def prediction(key: str) -> str:
    """Name the ``obs`` column with the predicted class of phenotype ``key``."""
    return f"{storable(key)}_pred"


def confidence(key: str) -> str:
    """Name the ``obs`` column with the calibrated probability of the predicted class."""
    return f"{storable(key)}_conf"


def level(key: str) -> str:
    """Name the ``obs`` column that says at which level of a label tree a row is named."""
    return f"{storable(key)}_level"


def unknown(key: str) -> str:
    """Name the ``obs`` column with the p-value of belonging to any known class."""
    return f"{storable(key)}_unknown"


def beside(names: Iterable[str]) -> set[str]:
    """Name what may stand beside the predictions among ``names``, in ``obs`` and ``obsm``.

    Examples
    --------
    >>> sorted(beside(["type_pred", "X_domainvi"]))
    ['type_conf', 'type_level', 'type_prob', 'type_set', 'type_unknown']
    """
    predicted = [name.removesuffix("_pred") for name in names if name.endswith("_pred")]
    endings = ("conf", "unknown", "set", "level", "prob")
    return {f"{key}_{ending}" for key in predicted for ending in endings}


def prediction_set(key: str) -> str:
    """Name the ``obs`` column with the classes that a row may have, joined to one text."""
    return f"{storable(key)}_set"


def probability(key: str) -> str:
    """Name the ``obsm`` array with the class probabilities."""
    return f"{storable(key)}_prob"


def subspace(name: str) -> str:
    """Name the ``obsm`` array with the latents of one subspace."""
    return f"{LATENT}_{storable(name)}"


def colors(key: str) -> str:
    """Name the ``uns`` entry in which scanpy keeps the colours of column ``key``."""
    return f"{key}_colors"


def of_classes(key: str, *, sets: bool = False) -> dict[str, tuple[str, ...]]:
    """Name all that is written for a categorical phenotype, by where it stands."""
    obs = (prediction(key), confidence(key), unknown(key), *([prediction_set(key)] * sets))
    return {"obs": obs, "obsm": (probability(key),)}


def attribution(name: str) -> str:
    """Name the ``varm`` frame with the attributions of phenotype ``name``, or of the latents."""
    return f"{storable(name)}_attribution"
