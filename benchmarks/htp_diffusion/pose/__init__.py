"""Poses: the skeleton, cameras, the horizontal flip, error metrics and the aggregation of hypotheses."""
