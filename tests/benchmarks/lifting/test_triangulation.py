"""3D joints from several cameras, and a reference made of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.lifting import reference as reference_module
from htp_diffusion.lifting import triangulation
from htp_diffusion.lifting.reference import (
    Reference,
    read_cameras,
    read_reference,
    sound_frames,
    triangulated_reference,
)
from htp_diffusion.lifting.triangulation import triangulate
from htp_diffusion.lifting.watched import Watched, watch
from htp_diffusion.pose.cameras import normalise_screen
from htp_diffusion.pose.layout import H36M_17

FRAMES, SIZE = 6, (1080, 1920)
VIEWS = {"cam01-alphapose.json": SIZE, "cam02-openpose": SIZE, "cam03-mmpose.json": (1088, 1920)}


@pytest.fixture
def path(tmp_path):
    """A body that moves before four calibrated cameras on a ring."""
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.4, (33, 3)) + rng.normal(0, 0.1, (FRAMES, 33, 3)) + [0.2, 0.1, 1.0]
    rotations, translations = [], []
    for angle in (0.1, 1.2, 2.9, 4.4):
        eye = np.array([4 * np.cos(angle), 4 * np.sin(angle), 1.6])
        forward = -eye / np.linalg.norm(eye) + [0, 0, 0.2]
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        turn = np.stack([right, np.cross(forward, right), forward])
        rotations.append(turn)
        translations.append(-turn @ eye)
    np.savez(
        tmp_path / "reference.npz",
        points=points.astype("float32"),
        rotation=np.stack(rotations),
        translation=np.stack(translations),
        intrinsics=np.tile(np.array([[1680.0, 0, 540], [0, 1680, 960], [0, 0, 1]]), (4, 1, 1)),
        distortion=np.tile([-0.05, 0.14, 0.001, 0.0005, 0.0], (4, 1)),
        sizes=np.tile(SIZE, (4, 1)),
    )
    return tmp_path / "reference.npz"


def projected(path, views=4):
    """The 17 joints in the world, and where the cameras see them, pixels."""
    world = read_reference(path, "cmu").positions
    cameras = read_cameras(path)[:views]
    return world, torch.stack([camera.project(camera.to_camera(world.double())) for camera in cameras])


def seen(pixels, frames=None, filled=None):
    count, joints = pixels.shape[:2]
    return Watched(
        person=0,
        pose_2d=normalise_screen(pixels.float(), SIZE),
        frames=torch.arange(count) if frames is None else frames,
        gap=torch.zeros(count, dtype=torch.long),
        filled=torch.zeros(count, joints, dtype=torch.bool) if filled is None else filled,
        swapped=torch.zeros(count, dtype=torch.bool),
        rule="cmu",
    )


@pytest.mark.parametrize("views", [2, 3, 4])
def test_exact_projections_give_the_points_back(path, views):
    world, pixels = projected(path, views)
    found = triangulate(pixels, torch.ones(pixels.shape[:-1]), read_cameras(path)[:views])
    torch.testing.assert_close(found, world, atol=1e-5, rtol=0)


def test_a_view_without_weight_is_not_looked_at(path):
    world, pixels = projected(path)
    weight = torch.ones(pixels.shape[:-1])
    weight[1, 2, 5] = 0.0
    pixels[1, 2, 5] = 0.0
    torch.testing.assert_close(triangulate(pixels, weight, read_cameras(path)), world, atol=1e-5, rtol=0)


def test_the_point_lies_nearest_to_the_detections_in_the_images(path):
    """Small errors: no other point near it has a smaller sum of squared distances in the images."""
    world, pixels = projected(path)
    pixels = pixels + torch.randn(pixels.shape, generator=torch.manual_seed(1))
    cameras = read_cameras(path)
    found = triangulate(pixels, torch.ones(pixels.shape[:-1]), cameras).double()

    def cost(points):
        off = [camera.project(camera.to_camera(points)) - pixels[i] for i, camera in enumerate(cameras)]
        return torch.stack(off).square().sum(dim=(0, -1))

    for axis in range(3):
        for way in (-1e-3, 1e-3):
            step = torch.zeros(3, dtype=torch.float64)
            step[axis] = way
            assert (cost(found) < cost(found + step)).all()
    assert float((found - world).norm(dim=-1).mean()) < 5e-3


def test_one_wrong_detection_moves_the_point_by_less_than_its_square_would(path, monkeypatch):
    world, pixels = projected(path)
    pixels[2, 3, 4] += 200.0
    off = []
    for trusted in (triangulation._TRUSTED, 1e6):
        monkeypatch.setattr(triangulation, "_TRUSTED", trusted)
        found = triangulate(pixels, torch.ones(pixels.shape[:-1]), read_cameras(path))
        off.append(float((found - world).norm(dim=-1)[3, 4]))
    assert off[0] < 0.4 * off[1]


def triangulated(path: Path, views: list[Watched]) -> Reference:
    return triangulated_reference(read_reference(path, "cmu"), read_cameras(path)[: len(views)], views)


def test_a_reference_is_triangulated_from_what_cameras_saw(path):
    world, pixels = projected(path, 3)
    views = [seen(pixels[0]), seen(pixels[1], torch.arange(1, FRAMES + 1)), seen(pixels[2])]
    found = triangulated(path, views)
    torch.testing.assert_close(found.positions, world, atol=1e-4, rtol=0)
    assert torch.equal(found.sound, sound_frames(found.positions))
    assert found.rotations is not None
    assert len(found.rotations) == 4  # a camera whose detections are not at hand can still be scored


def test_filled_joints_count_little(path):
    world, pixels = projected(path)
    filled = torch.zeros(FRAMES, 17, dtype=torch.bool)
    filled[2, 16] = True
    pixels[1, 2, 16] += 8.0
    views = [seen(view) for view in pixels]
    as_seen = triangulated(path, views).positions
    views[1] = seen(pixels[1], filled=filled)
    little = triangulated(path, views).positions
    assert (little - world)[2, 16].norm() < 0.5 * (as_seen - world)[2, 16].norm()


def test_views_that_do_not_fit(path, tmp_path):
    _, pixels = projected(path)
    views = [seen(view) for view in pixels]
    for few in ([], views[:1]):
        with pytest.raises(BenchmarkError, match="is seen by fewer than two of the views"):
            triangulated(path, few)
    late = [views[0], seen(pixels[1][2:], torch.arange(2, FRAMES))]
    with pytest.raises(BenchmarkError, match=r"frame 0 of .* is seen by fewer than two of the views"):
        triangulated(path, late)
    parts = dict(np.load(path))
    np.savez(tmp_path / "few.npz", **{**parts, "sizes": parts["sizes"][:2]})
    with pytest.raises(BenchmarkError, match="tell of different numbers of cameras"):
        read_cameras(tmp_path / "few.npz")
    del parts["intrinsics"]
    np.savez(tmp_path / "without.npz", **parts)
    with pytest.raises(BenchmarkError, match="no key intrinsics"):
        read_cameras(tmp_path / "without.npz")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("intrinsics", 0.0, "intrinsics expects focal lengths above 0, got 0"),
        (
            "intrinsics",
            np.diag([1680.0, -1680.0, 1.0]),
            "intrinsics expects focal lengths above 0, got -1680",
        ),
        ("intrinsics", 1e30, "intrinsics expects numbers up to 1,000,000"),
        ("intrinsics", 1e300, "intrinsics holds a value that is not finite"),
        ("distortion", 1e30, "distortion expects numbers up to 1,000,000"),
        ("translation", 1e30, "translation expects numbers up to 1,000,000"),
        ("sizes", 1e30, "sizes expects numbers up to 1,000,000"),
        ("sizes", 0.0, "sizes expects at least 1 pixel, got 0"),
        ("rotation", 0.0, "rotation expects rotations"),
    ],
)
def test_what_is_no_camera_is_refused(path, tmp_path, key, value, message):
    parts = dict(np.load(path))
    changed = parts[key].astype("float64")
    changed[2] = value
    np.savez(tmp_path / "bad.npz", **{**parts, key: changed})
    with pytest.raises(BenchmarkError, match=rf"bad\.npz: {message}"):
        read_cameras(tmp_path / "bad.npz")


def test_two_cameras_in_one_place_are_refused(path, tmp_path):
    """Turned to different sides, they still see along the same rays."""
    parts = dict(np.load(path))
    eye = -parts["rotation"][0].T @ parts["translation"][0]
    parts["translation"][3] = -parts["rotation"][3] @ eye
    np.savez(tmp_path / "one.npz", **parts)
    with pytest.raises(BenchmarkError, match=r"one\.npz: two cameras stand in one place"):
        read_cameras(tmp_path / "one.npz")


def test_rays_that_do_not_meet_are_one_error(path):
    _, pixels = projected(path, 2)
    weight, cameras = torch.ones(pixels.shape[:-1]), read_cameras(path)[:2]
    here = [cameras[0], cameras[0]]
    for views, seen_by in ((pixels.new_full(pixels.shape, torch.inf), cameras), (pixels, here)):
        with pytest.raises(BenchmarkError, match="the views' rays do not meet"):
            triangulate(views, weight, seen_by)


def test_joints_that_meet_far_away_are_refused(path, monkeypatch):
    _, pixels = projected(path, 2)
    far = torch.full((FRAMES, 17, 3), 1e5)
    monkeypatch.setattr(reference_module, "triangulate", lambda *given: far)
    with pytest.raises(BenchmarkError, match="triangulated from the views lies 100000 m away"):
        triangulated(path, [seen(view) for view in pixels])


def test_the_real_reference_has_changed_sides_and_the_new_one_has_not(video_path):
    """The given joints were triangulated with one camera's left for right in a third of the frames."""
    path = video_path / "reference.npz"
    given = read_reference(path, "cmu")
    views = [watch(read_detections(video_path / file, image_size=size)) for file, size in VIEWS.items()]
    found = triangulated(path, views)
    apart = (found.positions - given.positions).norm(dim=-1).mean(dim=1)
    assert float(apart[given.sound].mean()) < 0.03  # where the given one is sound, both agree
    left, right = (H36M_17.index(f"{side}_shoulder") for side in ("left", "right"))
    width = (found.positions[:, left] - found.positions[:, right]).norm(dim=-1)
    assert float(width.min()) > 0.75 * float(width.median())
    narrow = (given.positions[:, left] - given.positions[:, right]).norm(dim=-1)[~given.sound]
    assert float(narrow.mean()) < 0.6 * float(width.median())
    assert int(found.sound.sum()) >= 80 > int(given.sound.sum())


def test_cameras_see_the_real_points(video_path):
    """The order of the joints and the cameras' conventions: points fall within some centimetres."""
    path = video_path / "reference.npz"
    given = read_reference(path, "cmu")
    for (file, size), camera in zip(VIEWS.items(), read_cameras(path), strict=False):
        pixels = watch(read_detections(video_path / file, image_size=size)).pose_2d
        expected = normalise_screen(camera.project(camera.to_camera(given.positions.double())), size)
        off = (pixels - expected).norm(dim=-1)[given.sound] * size[0] / 2
        assert camera.image_size == size
        assert float(off.median()) < 25
