"""The models that a user meets."""

from ._disentangledvi import DisentangledVI
from ._domainvi import DomainVI

__all__ = ["DisentangledVI", "DomainVI"]
