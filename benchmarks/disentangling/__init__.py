"""How far biology and technology come apart on real data."""
