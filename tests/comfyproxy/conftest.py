"""Hypothesis for the pure modules: the same examples in every run, however slow the machine."""

from hypothesis import settings

settings.register_profile("gateway", deadline=None, derandomize=True)
settings.load_profile("gateway")
