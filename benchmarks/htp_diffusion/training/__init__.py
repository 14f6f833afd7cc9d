"""Training a denoiser: presets, batches, checkpoints, the loop and its loss curve."""
