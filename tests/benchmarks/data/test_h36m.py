import hashlib
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from written import SIDES, body, pixels
from written import write_h36m as files

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.h36m import H36M_ACTIONS, H36M_TEST, H36M_TRAIN, read_h36m
from htp_diffusion.data.formats.h36m_cameras import _POSES, H36M_LENSES, h36m_cameras
from htp_diffusion.data.formats.units import unit_of
from htp_diffusion.pose.conversions import convert
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.layouts import COCO_17

KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]


def rewrite(path, **change):
    """The same file with some of its dictionaries replaced."""
    with np.load(path, allow_pickle=True) as archive:
        content = {key: archive[key].item() for key in archive.files}
    np.savez_compressed(path, **(content | change))


def rotate(quaternion, vector):
    """q v q* by quaternion products, as a definition."""

    def product(a, b):
        scalar = a[0] * b[0] - a[1:] @ b[1:]
        return np.concatenate([[scalar], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])])

    conjugate = quaternion * [1, -1, -1, -1]
    return product(product(quaternion, np.concatenate([[0.0], vector])), conjugate)[1:]


def test_the_split_and_the_actions_are_the_fields():
    assert (H36M_TRAIN, H36M_TEST) == (("S1", "S5", "S6", "S7", "S8"), ("S9", "S11"))
    assert len(H36M_ACTIONS) == len(set(H36M_ACTIONS)) == 15


def test_a_camera_is_the_published_quaternion_and_translation():
    # S9's third camera in VideoPose3D's h36m_dataset: orientation turns camera axes into world axes.
    quaternion = np.array([0.13357827067375183, -0.1367100477218628, 0.7689454555511475, -0.6100738644599915])
    centre = np.array([-1.6709921875, 5.21198583984375, 1.528387939453125])
    camera = h36m_cameras("S9")[2]
    assert (camera.name, camera.image_size) == ("58860488", (1000, 1000))
    assert camera.focal.tolist() == pytest.approx([1149.1407470703125, 1148.7989501953125])
    assert camera.centre.tolist() == pytest.approx([519.8158569335938, 501.40264892578125])
    for point in body(1)[0]:
        expected = rotate(quaternion * [1, -1, -1, -1], point - centre)
        assert camera.to_camera(torch.from_numpy(point)).numpy() == pytest.approx(expected, abs=1e-5)


def test_every_camera_is_the_published_one_to_float32():
    """The hash is of the numbers in common/h36m_dataset.py of facebookresearch/VideoPose3D at 11e90ad9."""
    poses = np.array([row for subject in H36M_TRAIN + H36M_TEST for row in _POSES[subject]], dtype="<f4")
    lenses = [(*lens.focal, *lens.centre, *lens.image_size) for lens in H36M_LENSES.values()]
    assert list(H36M_LENSES) == ["54138969", "55011271", "58860488", "60457274"]
    found = hashlib.sha256(poses.tobytes() + np.array(lenses, dtype="<f4").tobytes()).hexdigest()
    assert found == "844c94bb93c295cefb501ba6982080be79b20382b61e1ed369ae5e54ba4c7191"


@pytest.mark.parametrize("subject", H36M_TRAIN + H36M_TEST)
def test_the_cameras_stand_around_the_room_upright_and_look_into_it(subject):
    cameras = h36m_cameras(subject)
    assert [camera.name for camera in cameras] == list(H36M_LENSES)
    quadrants = set()
    for camera in cameras:
        torch.testing.assert_close(camera.rotation @ camera.rotation.T, torch.eye(3), atol=1e-5, rtol=0)
        assert float(torch.linalg.det(camera.rotation)) == pytest.approx(1.0, abs=1e-5)
        low, high = camera.project(camera.to_camera(torch.tensor([[0.0, 0.0, 0.2], [0.0, 0.0, 1.6]])))
        assert float(high[1]) < float(low[1])
        assert bool(((low > 0) & (low < 1000)).all())
        assert 1.4 < float(camera.translation[2]) < 1.7
        assert 3.5 < float(camera.translation[:2].norm()) < 6
        quadrants.add(tuple((camera.translation[:2] > 0).tolist()))
    assert len(quadrants) == 4


def test_clips_are_what_the_four_cameras_see(tmp_path):
    path_3d, path_2d, poses, views = files(tmp_path)
    clips = read_h36m(path_3d, path_2d, ["S9"])
    assert len(clips) == 8
    assert [c.clip.name for c in clips[:4]] == [f"S9/Walking@{camera}" for camera in H36M_LENSES]
    assert [c.action for c in clips[::4]] == ["Walking", "Sitting"]
    assert [c.clip.name for c in clips[4:]] == [f"S9/Sitting 1@{camera}" for camera in H36M_LENSES]
    assert {c.subject for c in clips} == {"S9"}
    for index, item in enumerate(clips):
        clip, trial = item.clip, ("Walking", "Sitting 1")[index // 4]
        world = poses["S9"][trial][:, KEPT]
        assert clip.fps == 50.0
        assert torch.equal(clip.pose_3d[:, 0], torch.zeros(5, 3))
        back = clip.camera.to_world(clip.pose_3d + clip.root[:, None])
        torch.testing.assert_close(back, torch.from_numpy(world), atol=1e-5, rtol=0)
        # 2D longer than 3D is cut; x / w * 2 - 1 and y / w * 2 - h / w with each camera's own height.
        seen = views["S9"][trial][index % 4][:5].astype("float64")
        height = (1002, 1000, 1000, 1002)[index % 4]
        expected = np.stack([seen[..., 0] / 500 - 1, seen[..., 1] / 500 - height / 1000], axis=-1)
        np.testing.assert_allclose(clip.pose_2d.numpy(), expected, atol=1e-6)


def test_subjects_come_in_the_order_asked_for(tmp_path):
    path_3d, path_2d, _, _ = files(tmp_path, trials=("Photo",), subjects=("S11", "S1", "S9"), joints=17)
    clips = read_h36m(path_3d, path_2d, ("S9", "S11"))
    assert [item.subject for item in clips] == ["S9"] * 4 + ["S11"] * 4


def test_the_ground_truth_file_has_no_layout_name(tmp_path):
    path_3d, path_2d, _, _ = files(tmp_path)
    named = read_h36m(path_3d, path_2d, ["S9"])
    rewrite(path_2d, metadata={"num_joints": 17, "keypoints_symmetry": SIDES["h36m"]})
    unnamed = read_h36m(path_3d, path_2d, ["S9"])
    for first, second in zip(named, unnamed, strict=True):
        assert torch.equal(first.clip.pose_2d, second.clip.pose_2d)


def test_detections_of_coco_need_a_named_rule(tmp_path):
    path_3d, path_2d, _, views = files(tmp_path, trials=("Posing",), layout="coco")
    with pytest.raises(BenchmarkError, match=r"coco-17 to h36m-17: no rule is named. Choose one of: motionb"):
        read_h36m(path_3d, path_2d, ["S9"])
    clip = read_h36m(path_3d, path_2d, ["S9"], conversion="gast")[0].clip
    expected = convert(torch.from_numpy(views["S9"]["Posing"][0][:5]), COCO_17, H36M_17, "gast")
    torch.testing.assert_close(clip.camera.denormalise_screen(clip.pose_2d), expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("scale", "unit"), [(1.0, "metres"), (100.0, "centimetres"), (1000.0, "millimetres"), (1e4, None)]
)
def test_the_unit_is_told_by_the_thighs(scale, unit):
    assert unit_of(torch.from_numpy(body(3)) * scale, H36M_17) == unit


def test_errors_name_what_is_wrong(tmp_path):
    def message(subjects=("S9",), change_3d=None, **change_2d):
        path_3d, path_2d, poses, _ = files(tmp_path)
        if change_3d:
            rewrite(path_3d, positions_3d={"S9": {name: change_3d(p) for name, p in poses["S9"].items()}})
        if change_2d:
            rewrite(path_2d, **change_2d)
        with pytest.raises(BenchmarkError) as caught:
            read_h36m(path_3d, path_2d, subjects)
        return str(caught.value)

    def views(trials=("Walking", "Sitting 1"), **kwargs):
        return {"S9": {trial: pixels(8, **kwargs) for trial in trials}}

    assert "S9/Walking is in millimetres, expected metres" in message(change_3d=lambda p: p * 1000)
    assert "no human length in any unit" in message(change_3d=lambda p: p * 0)
    assert "has 16 joints, expected 17 or 32" in message(change_3d=lambda p: p[:, :16])
    assert "no subject S1; positions_3d has S9" in message(subjects=["S1"])
    assert "positions_2d has no S9/Sitting 1" in message(positions_2d=views(["Walking"]))
    assert "has 3 cameras, expected 4" in message(positions_2d=views(cameras=3))
    assert "has 5 cameras, expected 4" in message(positions_2d=views(cameras=5))
    short = {"S9": {t: pixels(4) for t in ("Walking", "Sitting 1")}}
    assert "camera 54138969, has 4 frames, fewer than the 5" in message(positions_2d=short)
    small = {"S9": {t: [v / 1000 for v in pixels(8)] for t in ("Walking", "Sitting 1")}}
    assert "is normalised already, expected pixels" in message(positions_2d=small)
    few = {"S9": {t: [v[:, :16] for v in pixels(8)] for t in ("Walking", "Sitting 1")}}
    assert "has 16 joints, the metadata 17" in message(positions_2d=few)
    wrong = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": SIDES["h36m"]}
    assert "metadata has layout_name 'coco', left [4, 5, 6, 11, 12, 13]" in message(metadata=wrong)
    assert "metadata must hold num_joints and keypoints_symmetry" in message(metadata={"layout_name": "h36m"})
    assert "one array a camera" in message(positions_2d={"S9": {"Walking": 3, "Sitting 1": 3}})
    path_3d, path_2d, _, _ = files(tmp_path, trials=("Running",))
    with pytest.raises(BenchmarkError, match="Running is not one of the actions Directions, Discussion"):
        read_h36m(path_3d, path_2d, ["S9"])
    path_3d, path_2d, _, _ = files(tmp_path, subjects=("S2",))
    with pytest.raises(BenchmarkError, match=r"no cameras for Human3.6M subject S2; there are S1, S5"):
        read_h36m(path_3d, path_2d, ["S2"])
    np.savez(path_2d, keypoints=np.zeros(3))
    with pytest.raises(BenchmarkError, match="no key metadata; the file has keypoints"):
        read_h36m(path_3d, path_2d, ["S2"])


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("key", ["positions_2d", "metadata"])
def test_a_malicious_pickle_is_refused(tmp_path, key):
    path_3d, path_2d, _, _ = files(tmp_path)
    evil = io.BytesIO()
    np.lib.format.write_array_header_1_0(evil, {"descr": "|O", "fortran_order": False, "shape": ()})
    evil.write(pickle.dumps({"S9": {"Walking": Touch(tmp_path / "marker")}}))
    with zipfile.ZipFile(path_2d) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path_2d, "w") as archive:
        for name, data in (members | {f"{key}.npy": evil.getvalue()}).items():
            archive.writestr(name, data)
    with pytest.raises(BenchmarkError, match=r"refused to read the global (posix|nt).system"):
        read_h36m(path_3d, path_2d, ["S9"])
    assert not (tmp_path / "marker").exists()
