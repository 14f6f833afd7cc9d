import torch
from written import write_npz

from htp_diffusion.data.mocap.cmu import CMU_TEST, CMU_TRAIN
from htp_diffusion.data.virtual_views import file_set


def test_the_cmu_clips_are_split(tmp_path):
    write_npz(tmp_path / "cmu.npz", CMU_TRAIN + CMU_TEST)
    found = file_set(tmp_path / "cmu.npz")
    assert found.motions == CMU_TEST
    assert found.description.startswith("cmu.npz, the fixed CMU test split: 7 motions, 4 virtual cameras")
    assert len(found.clips) == 28
    again = file_set(tmp_path / "cmu.npz")
    assert all(torch.equal(a.pose_2d, b.pose_2d) for a, b in zip(found.clips, again.clips, strict=True))


def test_the_real_motion_is_split(cmu_path):
    found = file_set(cmu_path / "data_3d_cmu.npz")
    assert found.motions == CMU_TEST
    assert {clip.name.split("@")[0] for clip in found.clips} == set(CMU_TEST)
