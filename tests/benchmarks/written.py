"""Files that tests of the benchmarks write: data sets in the field's layouts, and checkpoints."""

import dataclasses

import numpy as np
import torch

from htp_diffusion.data.mpi_inf_3dhp_cameras import mpi_test_camera, mpi_train_camera
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.training.checkpoint import Checkpoint, save_checkpoint
from htp_diffusion.training.preset import PRESETS

FRAMES = 12
TINY = dataclasses.replace(PRESETS["tiny"], num_frames=FRAMES, dim=16, depth=4, num_heads=2)

SIDES = {
    "h36m": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    "coco": [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]],
}


def body(frames, joints=17, seed=0):
    """Someone near the middle of the room, metres; thighs of 45 cm."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.25, (frames, joints, 3)) + np.array([0.2, 0.3, 0.9])
    for hip, knee in ((1, 2), (4, 5)) if joints == 17 else ((1, 2), (6, 7)):
        pose[:, knee] = pose[:, hip] - [0.0, 0.0, 0.45]
    return pose.astype("float32")


def pixels(frames, cameras=4, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.uniform(200, 800, (frames, 17, 2)).astype("float32") for _ in range(cameras)]


def write_h36m(
    folder, trials=("Walking", "Sitting 1"), subjects=("S9",), *, joints=32, layout="h36m", extra=3, frames=5
):
    """The two files; 2D poses go on for ``extra`` frames."""
    poses = {s: {t: body(frames, joints, i) for i, t in enumerate(trials)} for s in subjects}
    views = {s: {t: pixels(frames + extra, seed=i) for i, t in enumerate(trials)} for s in subjects}
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=poses)
    metadata = {"layout_name": layout, "num_joints": 17, "keypoints_symmetry": SIDES[layout]}
    np.savez_compressed(folder / "data_2d_h36m_cpn.npz", positions_2d=views, metadata=metadata)
    return folder / "data_3d_h36m.npz", folder / "data_2d_h36m_cpn.npz", poses, views


def mpi_poses(camera, frames=4, seed=0):
    """Camera-frame poses in millimetres and where a lens puts them, in MPI-INF-3DHP's order."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 250, (frames, 17, 3)) + np.array([50, 80, 3500])
    for hip, knee in ((8, 9), (11, 12)):
        pose[:, knee] = pose[:, hip] + [0, 430, 0]
    focal, centre = camera.focal.numpy(), camera.centre.numpy()
    return {
        "data_2d": (pose[..., :2] / pose[..., 2:] * focal + centre).astype("float32"),
        "data_3d": pose.astype("float32"),
    }


def write_mpi_train(path, **change):
    views = {camera: mpi_poses(mpi_train_camera(camera), 4, int(camera)) for camera in ("0", "8")}
    data = {"S1 Seq1": [views, 25], "S3 Seq2": [{"4": mpi_poses(mpi_train_camera("4"), 3)}, 50]} | change
    np.savez_compressed(path, data=data)
    return path


def write_mpi_test(path, **change):
    data = {}
    for index in range(1, 7):
        name = f"TS{index}"
        valid = np.array([1, 0, 1, 1], dtype="float64")
        data[name] = mpi_poses(mpi_test_camera(name), 4, index) | {"valid": valid}
    np.savez_compressed(path, data=data | change)
    return path


def write_checkpoints(folder, motions=("synthetic/walking_000",), space=CAMERA_METRES, **changes) -> None:
    """Checkpoints of untrained models, as a training run would leave them."""
    for kind in ("d3dp", "htp"):
        torch.manual_seed(0)
        config = dataclasses.replace(TINY.denoiser(kind), **changes.get(kind, {}))
        checkpoint = Checkpoint(
            denoiser=config, preset=TINY, motions=list(motions), seed=0, step=7, steps=7, losses=[],
            loss_every=1, commit=None, space=space.to_json(),
        )  # fmt: skip
        weights = {f"ema.{key}": value for key, value in config.build().state_dict().items()}
        save_checkpoint(folder / f"{kind}-tiny.json", checkpoint, weights)


def write_npz(path, names, frames=FRAMES) -> None:
    poses = {}
    for index, name in enumerate(names):
        subject, action = name.split("/")
        pose = np.random.default_rng(index).random((frames, 17, 3)).astype("float32")
        poses.setdefault(subject, {})[action] = pose
    np.savez(path, positions_3d=np.array(poses, dtype=object))
