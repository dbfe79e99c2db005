"""Whether labels of two depths in one tree do better than flat models of either level."""
