"""The full HTP diffusion system: models, diffusion, poses, data, training and reports."""
