"""Biovision motion capture (.bvh): a tree of joints, its motion, forward kinematics.

A joint's channels are its values in a frame: rotations in degrees, in the order of their product, and
positions relative to its parent, which stand in place of the rest pose's offset. Its children and its end
site turn with it:

    position = position_parent + G_parent offset        G = G_parent (product of the rotations)

Not a library's reader, since of two that were tried on small files, bvhio 1.5.4 refuses a byte-order mark,
reads ``zrotation`` as no rotation at all and never ends on a file that is cut, and pybvh 0.9.0 refuses joints
with position channels below the root and names no line of a wrong frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.text import AXES, euler_rotation, malformed, numbers, read_lines

_CHANNELS = {f"{axis}{kind}": kind[0] + axis for axis in AXES for kind in ("position", "rotation")}
_RATE_TOLERANCE = 5e-4  # frame times are written with few digits: 0.00833 is 120 frames a second
_MOST_DIGITS = 4
_LEAST = 1e-9  # below it, the inverse of a frame time is no rate


@dataclass(frozen=True, kw_only=True, eq=False)
class Joint:
    """One joint, or the end site of one.

    Attributes:
        name: Its name; of an end site, that of its joint and " end".
        parent: The name of the joint it hangs on; None for the root.
        offset: From its parent in the rest pose, in the file's unit.
        channels: What its values are, such as ("px", "py", "pz", "rz", "rx", "ry").
    """

    name: str
    parent: str | None
    offset: Float64[np.ndarray, "3"]
    channels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class BvhMotion:
    """A tree of joints and its motion.

    Attributes:
        joints: Parents before children.
        values: The channels of all joints, one joint after the other.
        fps: Frames a second.
    """

    joints: tuple[Joint, ...]
    values: Float64[np.ndarray, "frames channels"]
    fps: float


def read_bvh(path: str | Path) -> BvhMotion:
    """Read a file of one tree.

    Raises:
        BenchmarkError: The file cannot be read or is malformed, or a value is not finite; the line is named.
    """
    lines = read_lines(path)
    start = next((i for i, text in enumerate(lines) if text.strip().upper() == "MOTION"), None)
    if start is None:
        raise BenchmarkError(f"{path}: no line MOTION")
    joints = _read_tree(path, lines[:start])
    numbered = enumerate(lines[start + 1 :], start=start + 2)
    rest = [(number, text.strip()) for number, text in numbered if text.strip()]
    if len(rest) < 3:
        raise BenchmarkError(f"{path}: a motion without frames")
    count, seconds = _header(path, *rest[0], "Frames:"), _header(path, *rest[1], "Frame Time:")
    frames = rest[2:]
    if len(frames) != count:
        raise malformed(path, rest[0][0], f"Frames: {count:g}, but {len(frames)} lines follow")
    width = sum(len(joint.channels) for joint in joints)
    rows = [numbers(text.split(), width, path, number, "a frame") for number, text in frames]
    rate = 1 / seconds
    whole = round(rate)
    return BvhMotion(
        joints=joints,
        values=np.array(rows),
        fps=float(whole) if abs(rate - whole) <= _RATE_TOLERANCE * whole else rate,
    )


def forward_kinematics(
    motion: BvhMotion, metres_per_unit: float
) -> dict[str, Float64[np.ndarray, "frames 3"]]:
    """Where every joint and end site is.

    Args:
        motion: The tree and its motion.
        metres_per_unit: The length of the file's unit, which it does not tell.

    Returns:
        By name: world, metres, the file's axes.
    """
    rotation, position, first = {}, {}, 0
    for joint in motion.joints:
        values = motion.values[:, first : first + len(joint.channels)]
        first += len(joint.channels)
        local = np.tile(joint.offset, (len(values), 1))
        for column, channel in enumerate(joint.channels):
            if channel[0] == "p":
                local[:, AXES.index(channel[1])] = values[:, column]
        turns = [column for column, channel in enumerate(joint.channels) if channel[0] == "r"]
        turned = euler_rotation("".join(joint.channels[column][1] for column in turns), values[:, turns])
        if joint.parent is None:
            position[joint.name], rotation[joint.name] = local, turned
        else:
            parent = rotation[joint.parent]
            position[joint.name] = position[joint.parent] + (parent @ local[:, :, None])[:, :, 0]
            rotation[joint.name] = parent @ turned
    return {name: points * metres_per_unit for name, points in position.items()}


_Words = Iterator[tuple[int, str]]  # words with their lines


def _read_tree(path: str | Path, lines: list[str]) -> tuple[Joint, ...]:
    """The joints of the part before MOTION."""
    words = ((number, word) for number, text in enumerate(lines, start=1) for word in text.split())
    _expect(path, words, "HIERARCHY")
    joints: dict[str, Joint] = {}
    branch: list[str] = []  # from the root to the joint whose braces are open
    for line, word in words:
        if word == "}" and branch:
            branch.pop()
            continue
        parent = branch[-1] if branch else None
        if word not in (("ROOT",) if parent is None else ("JOINT", "End")) or (parent is None and joints):
            raise malformed(path, line, f"expected one tree of ROOT, JOINT and End Site, got {word}")
        line, name = _next(path, words)
        if word == "End":
            name = f"{parent} end"
        if name in joints:
            raise malformed(path, line, f"a second joint of the name {name}")
        _expect(path, words, "{")
        _expect(path, words, "OFFSET")
        line, offset = _take(path, words, 3)
        offset = np.array(numbers(offset, 3, path, line, f"OFFSET of {name}"))
        channels = () if word == "End" else _channels(path, words, name)
        joints[name] = Joint(name=name, parent=parent, offset=offset, channels=channels)
        branch.append(name)
    if branch or not joints:
        raise BenchmarkError(f"{path}: the tree of joints is not complete before MOTION")
    return tuple(joints.values())


def _channels(path: str | Path, words: _Words, name: str) -> tuple[str, ...]:
    _expect(path, words, "CHANNELS")
    line, count = _next(path, words)
    if not count.isdecimal() or len(count) > _MOST_DIGITS or int(count) > len(_CHANNELS):
        raise malformed(path, line, f"CHANNELS of {name} expects their number, up to 6, got {count[:40]}")
    line, given = _take(path, words, int(count))
    channels = [_CHANNELS.get(channel.lower()) for channel in given]
    known = tuple(channel for channel in channels if channel is not None)
    if len(set(known)) != len(given):
        raise malformed(
            path,
            line,
            f"CHANNELS of {name} expects {count} of Xposition to Zrotation, got {' '.join(given)}",
        )
    return known


def _next(path: str | Path, words: _Words) -> tuple[int, str]:
    found = next(words, None)
    if found is None:
        raise BenchmarkError(f"{path}: the tree of joints is not complete before MOTION")
    return found


def _take(path: str | Path, words: _Words, count: int) -> tuple[int, list[str]]:
    """So many words and the line of the last one."""
    found = [_next(path, words) for _ in range(count)]
    return (found[-1][0] if found else 0), [word for _, word in found]


def _expect(path: str | Path, words: _Words, expected: str) -> None:
    line, word = _next(path, words)
    if word != expected:
        raise malformed(path, line, f"expected {expected}, got {word}")


def _header(path: str | Path, line: int, text: str, name: str) -> float:
    """The positive number after a name in the motion's header."""
    if not text.startswith(name):
        raise malformed(path, line, f"expected {name} and a number, got {text[:40]!r}")
    (value,) = numbers(text[len(name) :].split(), 1, path, line, name)
    if value < _LEAST:
        raise malformed(path, line, f"{name} expects a positive number, got {value:g}")
    return value
