"""Poses: joint layouts and their conversions, cameras, what the numbers mean, the horizontal flip."""
