"""Reproduction: the paper's tables and figures, one after the other, in one run."""
