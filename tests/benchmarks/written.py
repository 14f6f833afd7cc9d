"""Files that tests of the benchmarks write: data sets in the field's layouts, and checkpoints."""

import dataclasses
import pickle

import numpy as np
import torch

from htp_diffusion.data.formats.h36m_cameras import h36m_cameras
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import mpi_test_camera, mpi_train_camera
from htp_diffusion.models.checkpoint import Checkpoint, save_checkpoint
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.pose.space import CAMERA_METRES

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


MOTIONBERT_SOURCES = (
    "s_09_act_14_subact_01_ca_01",
    "s_09_act_05_subact_02_ca_03",
    "s_11_act_02_subact_02_ca_04",
)
MOTIONBERT_CAMERAS = ("54138969", "58860488", "60457274")


def motionbert_poses(frames, source, seed):
    """Camera-frame poses in millimetres, their places in the image, and the millimetres of a pixel."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 250, (frames, 17, 3)) + np.array([100, -200, 4500 + 300 * seed])
    for hip, knee in ((1, 2), (4, 5)):
        pose[:, knee] = pose[:, hip] + [0, 450, 0]
    camera = h36m_cameras(f"S{int(source[2:4])}")[int(source[-1]) - 1]
    focal, centre = camera.focal.double().numpy(), camera.centre.double().numpy()
    factor = pose[:, 0, 2] / focal[0]
    image = pose.copy()
    image[..., :2] = pose[..., :2] / pose[..., 2:] * focal + centre
    image[..., 2] = (pose[..., 2] - pose[:, :1, 2]) / factor[:, None]
    return pose, image, factor


def motionbert_part(part, frames=4, sources=MOTIONBERT_SOURCES):
    """The keys of h36m_sh_conf_cam_source_final.pkl, with three recordings."""
    parts = [motionbert_poses(frames, source, seed) for seed, source in enumerate(sources)]
    image = np.concatenate([p[1] for p in parts])
    factor = np.concatenate([p[2] for p in parts])
    rng = np.random.default_rng(7)
    content = {
        "joint_2d": (image[..., :2] + rng.normal(0, 3, (3 * frames, 17, 2))).astype("float32"),
        "confidence": rng.uniform(0, 1, (3 * frames, 17, 1)).astype("float32"),
        "joint3d_image": image.astype("float32"),
        "camera_name": [name for name in MOTIONBERT_CAMERAS for _ in range(frames)],
        "source": [source for source in sources for _ in range(frames)],
    }
    if part == "test":
        content |= {
            "joints_2.5d_image": (image * factor[:, None, None]).astype("float32"),
            "2.5d_factor": factor,
            "action": [action for action in ("Walking", "Greeting", "Directions") for _ in range(frames)],
        }
    return content


def write_motionbert(path, frames=4, train_sources=MOTIONBERT_SOURCES, **change):
    """The file; ``change`` is of its test part, None leaves a key out."""
    test = {
        key: value for key, value in (motionbert_part("test", frames) | change).items() if value is not None
    }
    content = {"train": motionbert_part("train", frames, train_sources), "test": test}
    path.write_bytes(pickle.dumps(content))
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


def write_npz(path, names, frames=FRAMES, scale=1.0) -> None:
    """World motion in metres, or in a unit of which ``scale`` make a metre."""
    poses = {}
    for index, name in enumerate(names):
        subject, action = name.split("/")
        pose = np.random.default_rng(index).random((frames, 17, 3)).astype("float32")
        for hip, knee in ((1, 2), (4, 5)):
            pose[:, knee] = pose[:, hip] - [0.0, 0.0, 0.45]
        poses.setdefault(subject, {})[action] = scale * pose
    np.savez(path, positions_3d=np.array(poses, dtype=object))
