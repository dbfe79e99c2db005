"""The models that a user meets."""

from ._cautions import UNSURE, annotated_rows, cautions_of_rows
from ._disentangledvi import DisentangledVI
from ._domainvi import DomainVI
from ._taught import fingerprints

__all__ = ["DisentangledVI", "DomainVI"]

row_ids = fingerprints
