"""Acclaim motion capture: the motion of an .amc file, and forward kinematics of its skeleton.

As the CMU database writes them: angles in degrees, lengths in inches / 0.45, y up. A bone starts at the far
end of its parent. Its degrees of freedom turn it about axes of its own, given by Euler angles:

    C        the bone's axes in the rest pose
    M        rotation of its degrees of freedom, the first one listed applied first
    G        its rotation in the world: G = G_parent C M C^-1
    end      of the bone: end_parent + G offset
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.asf import METRES, ROOT, AsfSkeleton
from htp_diffusion.data.mocap.text import AXES, euler_rotation, malformed, numbers, read_lines


def read_amc(path: str | Path, skeleton: AsfSkeleton) -> dict[str, Float64[np.ndarray, "frames freedoms"]]:
    """Read a motion of a skeleton.

    Returns:
        For the root and every moving bone its values as in the file: degrees, and the CMU unit of length.

    Raises:
        BenchmarkError: The file cannot be read or is malformed, its angles are not in degrees, it names a
            bone that the skeleton lacks, or leaves a moving one out, or a value is not finite. The message
            names the line.
    """
    freedoms = skeleton.freedoms
    frames: list[dict[str, list[float]]] = []
    line = 0
    for line, text in enumerate(read_lines(path), start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        name = words[0]
        if name.startswith(":"):
            if name.upper() not in (":FULLY-SPECIFIED", ":DEGREES"):
                raise malformed(path, line, f"expected a motion in degrees, fully specified; got {name}")
        elif name.isdecimal() and len(words) == 1:
            _check_frame(path, line, frames, freedoms)
            if name.lstrip("0") != str(len(frames) + 1):
                raise malformed(path, line, f"expected frame {len(frames) + 1}, got {name[:40]}")
            frames.append({})
        elif not frames:
            raise malformed(path, line, f"expected the number of the first frame, got {text.strip()[:40]!r}")
        elif name not in freedoms:
            raise malformed(path, line, f"the skeleton has no moving bone {name}")
        elif name in frames[-1]:
            raise malformed(path, line, f"frame {len(frames)} gives {name} twice")
        else:
            frames[-1][name] = numbers(words[1:], freedoms[name], path, line, name)
    if not frames:
        raise BenchmarkError(f"{path}: a motion without frames")
    _check_frame(path, line, frames, freedoms)
    return {name: np.array([frame[name] for frame in frames]) for name in freedoms}


def forward_kinematics(
    skeleton: AsfSkeleton, motion: dict[str, Float64[np.ndarray, "frames freedoms"]]
) -> dict[str, Float64[np.ndarray, "frames 3"]]:
    """Where the far end of every bone is.

    Args:
        skeleton: The skeleton.
        motion: Its motion, as ``read_amc`` returns it.

    Returns:
        By name of the bone, the root's own position among them: world, metres, y up.
    """
    order = skeleton.root_order
    turns = [column for column, what in enumerate(order) if what[0] == "r"]
    moves = [order.index(f"t{axis}") for axis in AXES]
    # The last factor of a product turns first.
    turned = "".join(order[column][1] for column in reversed(turns))
    rotation = {ROOT: euler_rotation(turned, motion[ROOT][:, turns[::-1]])}
    position = {ROOT: motion[ROOT][:, moves] * METRES}
    for bone in skeleton.bones:
        rotation[bone.name] = rotation[bone.parent]
        if bone.freedom:
            own = euler_rotation(bone.freedom[::-1], motion[bone.name][:, ::-1])
            rotation[bone.name] = rotation[bone.parent] @ (bone.axes @ own @ bone.axes.T)
        position[bone.name] = position[bone.parent] + rotation[bone.name] @ bone.offset
    return position


def _check_frame(
    path: str | Path, line: int, frames: list[dict[str, list[float]]], freedoms: dict[str, int]
) -> None:
    """Refuse a frame that ends at a line with bones missing."""
    if frames and len(frames[-1]) != len(freedoms):
        lacks = [name for name in freedoms if name not in frames[-1]]
        raise malformed(path, line, f"frame {len(frames)} ends without {', '.join(lacks)}")
