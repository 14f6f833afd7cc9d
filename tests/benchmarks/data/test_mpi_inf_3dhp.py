import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from written import mpi_poses as poses
from written import write_mpi_test as write_test
from written import write_mpi_train as write_train

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.mpi_inf_3dhp import (
    read_mpi_mat,
    read_mpi_test,
    read_mpi_train,
)
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import mpi_test_camera, mpi_train_camera

ROOT = 14


@pytest.mark.parametrize("annotation", ["annot3", "univ_annot3"])
def test_training_clips_by_sequence_and_camera(tmp_path, annotation):
    clips = read_mpi_train(write_train(tmp_path / "data_train_3dhp.npz"), annotation)
    assert [c.clip.name for c in clips] == [
        f"S1/Seq1@cam0:{annotation}",
        f"S1/Seq1@cam8:{annotation}",
        f"S3/Seq2@cam4:{annotation}",
    ]
    assert [(c.subject, c.sequence, c.clip.fps) for c in clips[1:]] == [
        ("S1", "Seq1", 25.0),
        ("S3", "Seq2", 50.0),
    ]
    assert {c.annotation for c in clips} == {annotation}
    expected = poses(mpi_train_camera("8"), 4, 8)
    clip = clips[1].clip
    millimetres = expected["data_3d"].astype("float64")
    np.testing.assert_allclose(clip.root.numpy(), millimetres[:, ROOT] / 1000, atol=1e-6)
    relative = (millimetres - millimetres[:, ROOT : ROOT + 1]) / 1000
    np.testing.assert_allclose(clip.pose_3d.numpy(), relative, atol=1e-6)
    np.testing.assert_allclose(clip.pose_2d.numpy(), expected["data_2d"] / 1024 - 1.0, atol=1e-6)
    # The lens puts the poses where the file says.
    pixels = clip.camera.project(clip.pose_3d + clip.root[:, None])
    np.testing.assert_allclose(pixels.numpy(), expected["data_2d"], atol=0.01)
    assert bool(clips[1].valid.all())


def test_test_clips_have_valid_frames_and_their_own_image_size(tmp_path):
    clips = read_mpi_test(write_test(tmp_path / "data_test_3dhp.npz"), "annot3")
    assert [c.clip.name for c in clips] == [f"TS{i}@TS{i}:annot3" for i in range(1, 7)]
    for index, item in enumerate(clips, start=1):
        assert item.valid.tolist() == [True, False, True, True]
        width, height = (1920, 1080) if index > 4 else (2048, 2048)
        assert item.clip.camera.image_size == (width, height)
        pixels = poses(mpi_test_camera(f"TS{index}"), 4, index)["data_2d"].astype("float64")
        expected = pixels / width * 2 - [1, height / width]
        np.testing.assert_allclose(item.clip.pose_2d.numpy(), expected, atol=1e-6)
        assert torch.equal(item.clip.pose_3d[:, ROOT], torch.zeros(4, 3))


def test_frames_that_are_not_valid_may_hold_anything(tmp_path):
    table = poses(mpi_test_camera("TS2"), 6) | {"valid": np.array([1, 0, 0, 0, 0, 0])}
    table["data_3d"][1:] = 0.0
    clips = read_mpi_test(write_test(tmp_path / "a.npz", TS2=table), "annot3")
    assert clips[1].valid.tolist() == [True] + [False] * 5


def test_the_test_lenses_follow_from_the_calibration_files():
    # ts1-4cameras.calib and ts5-6cameras.calib: sensor, focal length, pixel aspect, centre offset.
    for name, width, height, sensor, focal, aspect, offset in (
        ("TS1", 2048, 2048, 10, 7.32506, 1.00044, (-0.0322884, 0.0929296)),
        ("TS6", 1920, 1080, 10, 8.770747185, 0.993236423, (-0.104908645, 0.104899704)),
    ):
        camera, scale = mpi_test_camera(name), width / sensor
        assert camera.focal.tolist() == pytest.approx([focal * scale, focal * scale * aspect], abs=0.01)
        centre = [width / 2 + offset[0] * scale, height / 2 + offset[1] * scale]
        assert camera.centre.tolist() == pytest.approx(centre, abs=0.01)


def test_the_annotation_is_asked_for(tmp_path):
    path = write_train(tmp_path / "a.npz")
    with pytest.raises(TypeError, match="annotation"):
        read_mpi_train(path)
    for read in (read_mpi_train, read_mpi_test, read_mpi_mat):
        with pytest.raises(BenchmarkError, match="expects one of annot3, univ_annot3, got 'annot2'"):
            read(path, "annot2")


def test_errors_name_what_is_wrong(tmp_path):
    good = poses(mpi_test_camera("TS1")) | {"valid": np.ones(4)}

    def train(**change):
        with pytest.raises(BenchmarkError) as caught:
            read_mpi_train(write_train(tmp_path / "a.npz", **change), "annot3")
        return str(caught.value)

    def one(**change):
        table = {key: value for key, value in (good | change).items() if value is not None}
        with pytest.raises(BenchmarkError) as caught:
            read_mpi_test(write_test(tmp_path / "a.npz", TS1=table), "annot3")
        return str(caught.value)

    assert "a.npz: TS1: expected a name such as 'S1 Seq1'" in train(TS1=good)
    assert "S9 Seq1 must hold [poses by camera, frames a second]" in train(**{"S9 Seq1": good})
    assert "frames a second expects a number above 0, got 0" in train(**{"S9 Seq1": [{}, 0]})
    for fps, told in ((10**400, "a value of type int"), (np.inf, "inf"), ([[]], "a value of type list")):
        assert f"expects a number above 0, got {told}" in train(**{"S9 Seq1": [{}, fps]})
    assert "no MPI-INF-3DHP camera '14'; there are 0, 1" in train(**{"S9 Seq1": [{"14": good}, 25]})
    assert "must hold data_2d and data_3d, it has data_2d, valid" in one(data_3d=None)
    assert "data_3d (annot3) has shape (4, 17, 2), expected (frames, joints, 3)" in one(
        data_3d=good["data_2d"]
    )
    assert "data_3d has 16 joints, layout mpi-inf-3dhp-17 has 17" in one(data_3d=good["data_3d"][:, 1:])
    assert "data_2d has 3 frames, data_3d 4" in one(data_2d=good["data_2d"][1:])
    assert "TS1: data_3d (annot3) is in metres, expected millimetres" in one(data_3d=good["data_3d"] / 1000)
    assert "data_2d is normalised already" in one(data_2d=good["data_2d"] / 1024 - 1)
    relative = good["data_3d"] - good["data_3d"][:, ROOT : ROOT + 1]
    assert "expected camera-frame poses, not root-relative ones" in one(data_3d=relative)
    assert "TS1: no valid frame" in one(valid=np.zeros(4))
    assert "valid must be an array of 4 numbers" in one(valid=np.ones(3))
    assert "valid must be an array of 4 numbers" in one(valid=None)
    assert "valid expects 0 or 1 for each frame" in one(valid=np.arange(4))
    with pytest.raises(BenchmarkError, match="S1 Seq1 is no test sequence"):
        read_mpi_test(write_train(tmp_path / "a.npz"), "annot3")
    np.savez(tmp_path / "b.npz", poses=np.zeros(3))
    with pytest.raises(BenchmarkError, match="no key data; the file has poses"):
        read_mpi_train(tmp_path / "b.npz", "annot3")


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_malicious_pickle_is_refused(tmp_path):
    path = write_train(tmp_path / "a.npz")
    with zipfile.ZipFile(path) as archive, archive.open("data.npy") as member:
        np.lib.format.read_magic(member)
        np.lib.format.read_array_header_1_0(member)
        head = archive.read("data.npy")[: member.tell()]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", head + pickle.dumps({"S1 Seq1": Touch(tmp_path / "marker")}))
    for read in (read_mpi_train, read_mpi_test):
        with pytest.raises(BenchmarkError, match=r"refused to read the global (posix|nt).system"):
            read(path, "annot3")
    assert not (tmp_path / "marker").exists()
