"""The model that a user meets first, and the base that models share."""

from ._domainvi import DomainVI

__all__ = ["DomainVI"]
