"""Latents of several methods: whether the cohort is gone from them, and the biology still there."""
