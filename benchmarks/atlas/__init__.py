"""Planted atlases of many classes and cohorts: DomainVI beside a plain classifier."""
