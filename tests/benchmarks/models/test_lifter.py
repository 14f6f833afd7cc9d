"""Lifters called as denoisers are MixSTE, plain and patched."""

import pytest
import torch

import adapters
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.mixste import MixSTE
from htp_modules import HTPConfig
from htp_modules.errors import ShapeError

SIZES = {"num_frames": 9, "dim": 16, "depth": 3, "num_heads": 2}
PRUNING = HTPConfig(num_keep=4, num_sft_layers=1)


def inputs():
    generator = torch.Generator().manual_seed(0)
    pose_2d = torch.randn(2, 9, 17, 2, generator=generator)
    return pose_2d, torch.randn(2, 9, 17, 3, generator=generator), torch.tensor([0, 999])


def test_the_plain_one_is_mixste_whatever_the_noise():
    lifter = DenoiserConfig(kind="mixste", **SIZES).build().eval()
    mixste = MixSTE(**SIZES).eval()
    mixste.load_state_dict(lifter.state_dict())
    pose_2d, noisy, timestep = inputs()
    expected = mixste(pose_2d)
    assert torch.equal(lifter(pose_2d, noisy, timestep), expected)
    assert torch.equal(lifter(pose_2d, -noisy, timestep.flip(0)), expected)


def test_the_pruned_one_is_mixste_patched_from_scratch():
    lifter = DenoiserConfig(kind="htp-mixste", htp=PRUNING, **SIZES).build()
    for parameter in lifter.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    lifter.eval()
    patched = adapters.patch_mixste(MixSTE(**SIZES), PRUNING, from_scratch=True).eval()
    theirs = {}
    for key, value in lifter.state_dict().items():
        name = key.replace("Spatial_patch_to_embedding.", "htp.spatial_gcn.")
        theirs[name] = value
    missing, unexpected = patched.load_state_dict(theirs, strict=False)
    assert unexpected == []
    assert all(key.startswith("Spatial_patch_to_embedding") for key in missing)  # out of use
    pose_2d, noisy, timestep = inputs()
    torch.testing.assert_close(lifter(pose_2d, noisy, timestep), patched(pose_2d))


@pytest.mark.parametrize(
    ("kind", "htp", "name"), [("mixste", None, "Lifter"), ("htp-mixste", PRUNING, "HTPLifter")]
)
def test_a_lifter_tells_its_own_name_of_a_clip_that_does_not_fit(kind, htp, name):
    pose_2d, noisy, timestep = inputs()
    lifter = DenoiserConfig(kind=kind, htp=htp, **SIZES).build()
    with pytest.raises(ShapeError, match=f"^{name} was built for 17 joints, got 16"):
        lifter(pose_2d[:, :, 1:], noisy[:, :, 1:], timestep)


def test_which_kinds_prune():
    assert [DenoiserConfig(kind=kind).prunes for kind in ("d3dp", "htp", "mixste", "htp-mixste")] == [
        False,
        True,
        False,
        True,
    ]
