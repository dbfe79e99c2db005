"""The model that a user meets."""

from ._domainvi import DomainVI

__all__ = ["DomainVI"]
