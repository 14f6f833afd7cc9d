"""Poses of the 17 Human3.6M joints as Biovision motion capture (.bvh), which animation programs open.

Predicted bones change their length a little from frame to frame, so every joint has position channels beside
its rotations: what is read back are the poses as they are. Rotations turn a rest pose (arms sideways, legs
down, facing z, y up) into each frame; of a limb they are the shortest turn that does it, as positions do not
tell how an arm is twisted.
"""

from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np
from jaxtyping import Float64

from htp_diffusion.data.mocap.h36m_joints import BVH_POINTS
from htp_diffusion.pose.layout import H36M_17

BVH_JOINTS = BVH_POINTS | {"head": "HeadTop"}
"""What each joint is called in the file: as in the public conversions of the CMU database."""

_CENTIMETRES = 100.0  # the unit that animation programs expect
_ORDER = "Zrotation Xrotation Yrotation"
_DOWN, _LEFT, _RIGHT = (0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)
_REST = {
    **dict.fromkeys(("left_knee", "right_knee", "left_ankle", "right_ankle"), _DOWN),
    **dict.fromkeys(("left_elbow", "left_wrist"), _LEFT),
    **dict.fromkeys(("right_elbow", "right_wrist"), _RIGHT),
}
"""Where a limb's joint lies from its parent in the rest pose; the trunk's lie as they do on the mean."""
_ENDS = {
    "head": (0.0, 5.0, 0.0),
    **dict.fromkeys(("left_ankle", "right_ankle"), (0.0, 0.0, 15.0)),
    "left_wrist": (8.0, 0.0, 0.0),
    "right_wrist": (-8.0, 0.0, 0.0),
}
"""Centimetres. What lies beyond the outermost joints, which nobody measured: foot, hand, top of the head."""

_Vectors = Float64[np.ndarray, "frames 3"]
_Rotations = Float64[np.ndarray, "frames 3 3"]


def bvh_text(poses: Float64[np.ndarray, "frames joints 3"], fps: float) -> str:
    """The file's text.

    Args:
        poses: Metres; x to the right, y down, z forward, as in a camera's frame. The file has y up and z
            backward.
        fps: Frames a second.
    """
    positions = poses.astype(np.float64) * np.array([1.0, -1.0, -1.0]) * _CENTIMETRES
    turns = _orientations(positions)
    local, rotation = _relative(positions, turns)
    offsets = {joint: _rest_offset(joint, local[joint]) for joint in H36M_17.joints}
    order, lines = [], ["HIERARCHY"]
    _write_joint(H36M_17.joints[H36M_17.root], offsets, 0, order, lines)
    lines += ["MOTION", f"Frames: {len(poses)}", f"Frame Time: {1 / fps:.9f}"]
    columns = chain.from_iterable((local[joint], _euler_degrees(rotation[joint])) for joint in order)
    table = np.concatenate(list(columns), axis=1)
    return "\n".join(lines + [" ".join(f"{value:.5f}" for value in row) for row in table]) + "\n"


def _write_joint(
    joint: str, offsets: dict[str, Sequence[float]], depth: int, order: list[str], lines: list[str]
) -> None:
    """A joint and what hangs on it; ``order`` tells the order of their channels."""
    order.append(joint)
    space, inner = "\t" * depth, "\t" * (depth + 1)
    lines += [
        f"{space}{'ROOT' if depth == 0 else 'JOINT'} {BVH_JOINTS[joint]}",
        f"{space}{{",
        f"{inner}OFFSET {_numbers(offsets[joint])}",
        f"{inner}CHANNELS 6 Xposition Yposition Zposition {_ORDER}",
    ]
    index = H36M_17.index(joint)
    for child, parent in enumerate(H36M_17.parents):
        if parent == index:
            _write_joint(H36M_17.joints[child], offsets, depth + 1, order, lines)
    if joint in _ENDS:
        lines += [f"{inner}End Site", f"{inner}{{", f"{inner}\tOFFSET {_numbers(_ENDS[joint])}", f"{inner}}}"]
    lines.append(f"{space}}}")


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.5f}" for value in values)


def _rest_offset(joint: str, local: _Vectors) -> Sequence[float]:
    if joint == H36M_17.joints[H36M_17.root]:
        return (0.0, 0.0, 0.0)
    if joint in _REST:
        return [float(np.linalg.norm(local, axis=1).mean() * part) for part in _REST[joint]]
    return local.mean(axis=0).tolist()


def _orientations(positions: Float64[np.ndarray, "frames joints 3"]) -> dict[str, _Rotations]:
    """How each joint is turned from the rest pose, in the world."""
    at = {joint: positions[:, index] for index, joint in enumerate(H36M_17.joints)}
    hips, shoulders = at["left_hip"] - at["right_hip"], at["left_shoulder"] - at["right_shoulder"]
    turns = {
        "pelvis": _upright(at["spine"] - at["pelvis"], hips),
        "spine": _upright(at["thorax"] - at["spine"], hips + shoulders),
        "thorax": _upright(at["neck"] - at["thorax"], shoulders),
        "neck": _upright(at["head"] - at["neck"], shoulders),
    }
    turns["head"] = turns["neck"]
    for side in ("left", "right"):
        for parent, *limb in (("pelvis", "hip", "knee", "ankle"), ("thorax", "shoulder", "elbow", "wrist")):
            turn = turns[parent]
            for near, far in pairwise(limb):
                bone = at[f"{side}_{far}"] - at[f"{side}_{near}"]
                turn = turn @ _shortest_turn(np.array(_REST[f"{side}_{far}"]), _into(turn, bone))
                turns[f"{side}_{near}"] = turn
            turns[f"{side}_{limb[-1]}"] = turn
    return turns


def _relative(
    positions: Float64[np.ndarray, "frames joints 3"], turns: dict[str, _Rotations]
) -> tuple[dict[str, _Vectors], dict[str, _Rotations]]:
    """Places and turns of the joints from their parents."""
    local, rotation = {}, {}
    for index, joint in enumerate(H36M_17.joints):
        parent = H36M_17.parents[index]
        if parent < 0:
            local[joint], rotation[joint] = positions[:, index], turns[joint]
        else:
            around = turns[H36M_17.joints[parent]]
            local[joint] = _into(around, positions[:, index] - positions[:, parent])
            rotation[joint] = around.swapaxes(1, 2) @ turns[joint]
    return local, rotation


def _into(turn: _Rotations, vectors: _Vectors) -> _Vectors:
    """World vectors in a turned joint's own axes."""
    return (turn.swapaxes(1, 2) @ vectors[:, :, None])[:, :, 0]


def _unit(vectors: _Vectors) -> _Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _upright(up: _Vectors, left: _Vectors) -> _Rotations:
    """The turn whose y axis is ``up`` and whose x axis is as near to ``left`` as that allows."""
    y = _unit(up)
    x = left - (left * y).sum(axis=1, keepdims=True) * y
    # Where left is no help: any direction across.
    lost = np.linalg.norm(x, axis=1) < 1e-6
    x[lost] = np.cross(y[lost], [0.31, 0.42, 0.85])
    x = _unit(x)
    return np.stack([x, y, np.cross(x, y)], axis=2)


def _shortest_turn(rest: Float64[np.ndarray, "3"], towards: _Vectors) -> _Rotations:
    """The rotation by the least angle of a unit vector into directions; the identity for no direction."""
    length = np.linalg.norm(towards, axis=1)
    goal = np.where(length[:, None] > 1e-9, _unit(towards), rest)
    axis, cosine = np.cross(rest, goal), goal @ rest
    cross = np.zeros((len(goal), 3, 3))
    cross[:, [2, 0, 1], [1, 2, 0]], cross[:, [1, 2, 0], [2, 0, 1]] = axis, -axis
    turn = np.eye(3) + cross + cross @ cross / np.maximum(1 + cosine, 1e-9)[:, None, None]
    opposite = cosine < -1 + 1e-9
    across = _unit(np.cross(rest, [[0.31, 0.42, 0.85]]))[0]
    turn[opposite] = 2 * np.outer(across, across) - np.eye(3)
    return turn


def _euler_degrees(turn: _Rotations) -> _Vectors:
    """Angles about z, x and y whose product Rz Rx Ry is the turn."""
    x = np.arcsin(turn[:, 2, 1].clip(-1.0, 1.0))
    z = np.arctan2(-turn[:, 0, 1], turn[:, 1, 1])
    y = np.arctan2(-turn[:, 2, 0], turn[:, 2, 2])
    return np.degrees(np.stack([z, x, y], axis=1))
