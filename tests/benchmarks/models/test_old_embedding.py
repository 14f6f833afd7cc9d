"""HTP's checkpoints from before its graph convolution read the 2D pose alone are refused in one line."""

import dataclasses

import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.checkpoint import Checkpoint, load_denoiser, save_checkpoint
from htp_diffusion.models.preset import PRESETS

WEIGHT = "Spatial_patch_to_embedding.convolution.weight"


def test_a_graph_convolution_over_the_noise_is_refused(tmp_path):
    preset = dataclasses.replace(PRESETS["tiny"], num_frames=9, dim=16)
    denoiser = preset.denoiser("htp")
    tensors = denoiser.build().state_dict()
    record = Checkpoint(
        denoiser=denoiser,
        preset=preset,
        motions=["one"],
        seed=0,
        step=1,
        steps=1,
        losses=[],
        loss_every=1,
        commit=None,
    )
    save_checkpoint(tmp_path / "now.json", record, {f"ema.{key}": value for key, value in tensors.items()})
    load_denoiser(tmp_path / "now.json")
    before = tensors | {WEIGHT: torch.zeros(2, 5, 16)}
    save_checkpoint(tmp_path / "old.json", record, {f"ema.{key}": value for key, value in before.items()})
    with pytest.raises(BenchmarkError, match="first checkpoints; it cannot be converted, train it again"):
        load_denoiser(tmp_path / "old.json")
