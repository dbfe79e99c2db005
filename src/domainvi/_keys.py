"""Every key that DomainVI writes to an AnnData object, in one place."""

from __future__ import annotations

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
MODALITIES = "modalities"
NOTES = "notes"
PARAMETERS = "params"
ROWS_WITHOUT_VALUES = "rows_without_values"
SET_ASIDE = "classes_set_aside"
TARGETS = "targets"
UNLABELED_CATEGORY = "unlabeled_category"
UNSEEN_COHORTS = "unseen_cohorts"
VERSION = "version"

# Fields of the guard in it. The first is in the history of a model as well.
ROW_WISE_SHARE = "row_wise_share"


def storable(key: str) -> str:
    """Turn a name into a key that h5ad, h5mu and zarr can hold: none of a path, and not empty.

    Examples
    --------
    >>> storable("cell type/broad"), storable("."), storable("")
    ('cell type|broad', '_', '_')
    """
    key = key.replace("/", "|")
    return key if key.strip(".") else "_" * max(len(key), 1)


def prediction(key: str) -> str:
    """Name the ``obs`` column with the predicted class of phenotype ``key``."""
    return f"{storable(key)}_pred"


def confidence(key: str) -> str:
    """Name the ``obs`` column with the calibrated probability of the predicted class."""
    return f"{storable(key)}_conf"


def unknown(key: str) -> str:
    """Name the ``obs`` column with the p-value of belonging to any known class."""
    return f"{storable(key)}_unknown"


def probability(key: str) -> str:
    """Name the ``obsm`` array with the class probabilities."""
    return f"{storable(key)}_prob"


def subspace(name: str) -> str:
    """Name the ``obsm`` array with the latents of one subspace."""
    return f"{LATENT}_{storable(name)}"


def colors(key: str) -> str:
    """Name the ``uns`` entry in which scanpy keeps the colours of column ``key``."""
    return f"{key}_colors"


def of_classes(key: str) -> dict[str, tuple[str, ...]]:
    """Name all that is written for a categorical phenotype, by where it stands."""
    return {"obs": (prediction(key), confidence(key), unknown(key)), "obsm": (probability(key),)}


def attribution(name: str) -> str:
    """Name the ``varm`` frame with the attributions of phenotype ``name``, or of the latents."""
    return f"{storable(name)}_attribution"
