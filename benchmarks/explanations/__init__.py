"""Explanations: whether known genes come out on top, and what explaining costs."""
