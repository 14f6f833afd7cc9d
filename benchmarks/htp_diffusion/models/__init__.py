"""Pose transformers with the parameter names of their public checkpoints."""
