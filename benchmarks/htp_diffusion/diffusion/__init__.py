"""The diffusion process over poses: its noise schedule, its sampler, and how hypotheses are drawn."""
