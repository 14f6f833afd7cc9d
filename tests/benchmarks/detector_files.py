"""Files that tests write as 2D detectors do, what stands in them, and what lifting makes of them."""

import json

import numpy as np
import torch

from htp_diffusion.base.provenance import provenance
from htp_diffusion.data.keypoints.detections import Detections, Track
from htp_diffusion.lifting.lifted import Lifted
from htp_diffusion.lifting.video import LiftedVideo
from htp_diffusion.lifting.watched import Watched
from htp_diffusion.pose.layouts import COCO_17

COUNTS = {"coco-17": 17, "halpe-26": 26, "openpose-body-25": 25, "openpose-coco-18": 18, "mediapipe-33": 33}


def people(frames, joints, persons=1, seed=0):
    """(frames, persons, joints, 3): walking to the right, 300 pixels apart, 400 high; to two decimals."""
    rng = np.random.default_rng(seed)
    body = rng.uniform([60, 120], [210, 520], (1, 1, joints, 2))
    walk = np.arange(frames)[:, None, None, None] * [4.0, 0.0]
    apart = np.arange(persons)[None, :, None, None] * [300.0, 0.0]
    places = body + walk + apart + rng.normal(0, 0.5, (frames, persons, joints, 2))
    seen = rng.uniform(0.5, 1.0, (frames, persons, joints, 1))
    return np.concatenate([places, seen], axis=-1).round(2)


def alphapose(path, poses, *, frames=None, tracks=None, name="{}.jpg"):
    """alphapose-results.json; ``tracks`` numbers people as AlphaPose's tracker does."""
    entries = [
        {
            "image_id": name.format((frames or range(len(poses)))[t]),
            "category_id": 1,
            "keypoints": person.flatten().tolist(),
            "score": 2.9,
            "box": [0.0, 0.0, 10.0, 10.0],
            "idx": [0.0] if tracks is None else tracks[i],
        }
        for t, group in enumerate(poses)
        for i, person in enumerate(group)
    ]
    path.write_text(json.dumps(entries))
    return path


def openpose(folder, poses, *, frames=None, video="cam"):
    """A folder of NAME_000000000012_keypoints.json."""
    folder.mkdir(exist_ok=True)
    for t, group in enumerate(poses):
        entries = [
            {"person_id": [-1], "pose_keypoints_2d": person.flatten().tolist(), "face_keypoints_2d": []}
            for person in group
        ]
        number = (frames or range(len(poses)))[t]
        (folder / f"{video}_{number:012d}_keypoints.json").write_text(
            json.dumps({"version": 1.3, "people": entries})
        )
    return folder


def mmpose_frames(poses, *, frames=None, tracks=None):
    return [
        {
            "frame_id": (frames or range(1, len(poses) + 1))[t],
            "instances": [
                {
                    "keypoints": person[:, :2].tolist(),
                    "keypoint_scores": person[:, 2].tolist(),
                    "bbox": [[0.0, 0.0, 10.0, 10.0]],
                    "bbox_score": 0.99,
                    **({} if tracks is None else {"track_id": tracks[i]}),
                }
                for i, person in enumerate(group)
            ],
        }
        for t, group in enumerate(poses)
    ]


def mmpose(path, poses, dataset="coco", **options):
    """What the demos of MMPose write with --save-predictions."""
    meta = {"dataset_name": dataset, "num_keypoints": poses.shape[2]}
    path.write_text(json.dumps({"meta_info": meta, "instance_info": mmpose_frames(poses, **options)}))
    return path


def landmarks(person, size):
    return [
        {"x": x / size[0], "y": y / size[1], "z": -0.1, "visibility": seen} for x, y, seen in person.tolist()
    ]


def videopose3d(path, poses, size=(1000, 800), videos=("clip.mp4",), layout="coco"):
    """data_2d_custom_NAME.npz as VideoPose3D's prepare_data_2d_custom.py writes it."""
    metadata = {
        "layout_name": layout,
        "num_joints": poses.shape[2],
        "keypoints_symmetry": [list(range(1, 17, 2)), list(range(2, 17, 2))],
        "video_metadata": {video: {"w": size[0], "h": size[1]} for video in videos},
    }
    tree = {video: {"custom": [poses[:, 0, :, :2].astype("float32")]} for video in videos}
    np.savez_compressed(path, positions_2d=tree, metadata=metadata)
    return path


def detectron(path, poses, size=(1000, 800), empty=()):
    """What VideoPose3D's infer_video_d2.py writes: the background's list, then the people's."""
    boxes, keypoints = np.empty((len(poses), 2), dtype=object), np.empty((len(poses), 2), dtype=object)
    for t, group in enumerate(poses):
        found = group[:0] if t in empty else group
        rows = np.stack([found[..., 0], found[..., 1], 0 * found[..., 2], found[..., 2]], axis=1)
        boxes[t, 0], boxes[t, 1] = [], np.zeros((len(found), 5), dtype="float32")
        keypoints[t, 0], keypoints[t, 1] = [], rows
    segments = np.full(len(poses), None, dtype=object)
    metadata = {"w": size[0], "h": size[1]}
    np.savez_compressed(path, boxes=boxes, segments=segments, keypoints=keypoints, metadata=metadata)
    return path


def lifted_video(frames=40, fps=30.0, kept=True, seed=0):
    """A video as it is after lifting, with a gap, a long gap, swapped frames and a title that is markup."""
    generator = torch.Generator().manual_seed(seed)
    pose = 0.4 * torch.randn(17, 3, generator=generator)
    poses = pose + 0.1 * torch.randn(frames, 17, 3, generator=generator).cumsum(dim=0) / frames**0.5
    gap = torch.zeros(frames, dtype=torch.long)
    gap[3:5], gap[10:27] = 1, 2
    filled = (gap > 0)[:, None].expand(-1, 17).clone()
    filled[0, 16] = True
    track = Track(
        number=2,
        frames=torch.arange(frames),
        joints=torch.rand(frames, 17, 2, generator=generator) * 800,
        confidence=torch.ones(frames, 17),
    )
    return LiftedVideo(
        source="clip </script><b>",
        detections=Detections(
            format="AlphaPose results",
            layout=COCO_17,
            image_size=(1000, 800),
            fps=fps,
            tracks=(track,),
            followed="the file",
        ),
        watched=Watched(
            person=2,
            pose_2d=torch.rand(frames, 17, 2, generator=generator) - 0.5,
            frames=torch.arange(7, 7 + frames),
            gap=gap,
            filled=filled,
            swapped=torch.arange(frames) == 6,
            rule="cmu",
        ),
        lifted=Lifted(
            poses=poses,
            spread=0.02 * torch.rand(frames, 17, generator=generator),
            kept=torch.arange(frames) % 3 == 0 if kept else None,
            windows=3,
            window_frames=27,
            seconds=1.0,
        ),
        model="htp-example",
        fps=fps,
        provenance=provenance(),
    )
