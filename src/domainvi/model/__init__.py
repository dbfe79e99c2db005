"""The models that a user meets."""

from ._cautions import UNSURE as UNSURE
from ._cautions import annotated_rows as annotated_rows
from ._cautions import cautions_of_rows as cautions_of_rows
from ._disentangledvi import DisentangledVI
from ._domainvi import DomainVI
from ._taught import fingerprints

__all__ = ["DisentangledVI", "DomainVI"]

row_ids = fingerprints
