import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.bvh import forward_kinematics, read_bvh

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Knee
  {
    OFFSET 2 0 0
    CHANNELS 1 Zrotation
    End Site
    {
      OFFSET 3 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.008333
0 0 0 10 0 0 20
0 0 0 30 0 0 40
"""


def solve(folder, text, unit=1.0):
    path = folder / "a.bvh"
    path.write_text(text)
    return forward_kinematics(read_bvh(path), unit)


def with_frames(*frames):
    rows = "\n".join(" ".join(map(repr, frame)) for frame in frames)
    return f"{BVH[: BVH.index('Frames:')]}Frames: {len(frames)}\nFrame Time: 0.01\n{rows}\n"


@given(st.lists(st.tuples(*[st.floats(-180, 180)] * 4), min_size=1, max_size=4), st.floats(0.01, 10))
def test_two_bones_in_a_plane(tmp_path, frames, unit):
    points = solve(tmp_path, with_frames(*[(x, y, 1.0, u, 0.0, 0.0, v) for x, y, u, v in frames]), unit)
    assert list(points) == ["Hips", "Knee", "Knee end"]
    for frame, (x, y, u, v) in enumerate(frames):
        first, second = math.radians(u), math.radians(u + v)
        knee = (x + 2 * math.cos(first), y + 2 * math.sin(first), 1.0)
        foot = (knee[0] + 3 * math.cos(second), knee[1] + 3 * math.sin(second), 1.0)
        for name, point in {"Hips": (x, y, 1.0), "Knee": knee, "Knee end": foot}.items():
            assert points[name][frame].tolist() == pytest.approx([unit * value for value in point], abs=1e-9)


def product(a, b):
    return [[sum(a[i][k] * b[k][j] for k in range(4)) for j in range(4)] for i in range(4)]


def elementary(channel, value):
    """The 4 x 4 transform of one channel."""
    matrix = [[float(i == j) for j in range(4)] for i in range(4)]
    axis = "XYZ".index(channel[0])
    if channel.endswith("position"):
        matrix[axis][3] = value
        return matrix
    u, v = [(1, 2), (2, 0), (0, 1)][axis]
    cos, sin = math.cos(math.radians(value)), math.sin(math.radians(value))
    matrix[u][u] = matrix[v][v] = cos
    matrix[u][v], matrix[v][u] = -sin, sin
    return matrix


ROTATIONS = ["Xrotation", "Yrotation", "Zrotation"]
POSITIONS = ["Xposition", "Yposition", "Zposition"]


@given(
    st.lists(st.tuples(st.permutations(ROTATIONS), st.integers(0, 3)), min_size=3, max_size=3),
    st.permutations(ROTATIONS + POSITIONS),
    st.integers(0, 1000),
)
def test_channels_in_any_order_agree_with_a_chain_of_transforms(tmp_path, shapes, root, seed):
    # Root with two children, the first of which has one; rotation by 4 x 4 matrices, one number at a time.
    draw = np.random.default_rng(seed)
    channels = [root, *[order[:count] for order, count in shapes]]
    offsets = [(0.0, 0.0, 0.0), *draw.normal(size=(3, 3)).tolist()]
    heads = [
        f"{{ OFFSET {' '.join(map(repr, offset))} CHANNELS {len(names)} {' '.join(names)}"
        for offset, names in zip(offsets, channels, strict=True)
    ]
    tree = f"ROOT a {heads[0]} JOINT b {heads[1]} JOINT c {heads[2]} }} }} JOINT d {heads[3]} }} }}"
    values = draw.uniform(-180, 180, (2, sum(map(len, channels)))).tolist()
    rows = "\n".join(" ".join(map(repr, row)) for row in values)
    points = solve(tmp_path, f"HIERARCHY {tree}\nMOTION\nFrames: 2\nFrame Time: 0.1\n{rows}\n")
    for frame, row in enumerate(values):
        left = iter(row)
        world = []
        for parent, offset, names in zip((None, 0, 1, 0), offsets, channels, strict=True):
            given_values = [(name, next(left)) for name in names]
            steps = [elementary(f"{axis}position", value) for axis, value in zip("XYZ", offset, strict=True)]
            # Translation first: a channel's place among the rotations does not matter to it.
            steps += [elementary(name, value) for name, value in given_values if name in POSITIONS]
            steps += [elementary(name, value) for name, value in given_values if name in ROTATIONS]
            total = elementary("Xposition", 0.0) if parent is None else world[parent]
            for step in steps:
                total = product(total, step)
            world.append(total)
        for name, transform in zip("abcd", world, strict=True):
            expected = [transform[axis][3] for axis in range(3)]
            assert points[name][frame].tolist() == pytest.approx(expected, abs=1e-9)


def test_position_channels_stand_in_place_of_the_offset(tmp_path):
    text = BVH.replace("CHANNELS 1 Zrotation", "CHANNELS 2 Yposition Zrotation")
    text = text.replace("10 0 0 20", "0 0 0 7 0").replace("30 0 0 40", "90 0 0 7 0")
    knee = solve(tmp_path, text)["Knee"]
    # x stays the offset's 2, y is 7; a quarter turn of the root takes (2, 7) to (-7, 2).
    np.testing.assert_allclose(knee, [[2, 7, 0], [-7, 2, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("seconds", "fps"),
    [
        ("0.008333", 120.0),
        ("0.00833333", 120.0),
        ("0.0166667", 60.0),
        ("0.0417083", 1 / 0.0417083),
        ("0.1", 10),
    ],
)
def test_rates_come_from_rounded_frame_times(tmp_path, seconds, fps):
    path = tmp_path / "a.bvh"
    path.write_text(BVH.replace("0.008333", seconds))
    assert read_bvh(path).fps == fps


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "TREE", r"line 1: expected HIERARCHY, got TREE"),
        ("MOTION", "MOTIONS", r"no line MOTION"),
        ("ROOT Hips", "JOINT Hips", r"line 2: expected one tree of ROOT, JOINT and End Site, got JOINT"),
        ("MOTION", "ROOT Other\nMOTION", r"line 16: expected one tree of ROOT, JOINT and End Site, got ROOT"),
        ("JOINT Knee", "JOINT Hips", r"line 6: a second joint of the name Hips"),
        ("OFFSET 2 0 0", "OFFSET 2 0", r"line 9: OFFSET of Knee: could not convert string .*'CHANNELS'"),
        ("OFFSET 2 0 0", "CHANNELS 0", r"line 8: expected OFFSET, got CHANNELS"),
        ("OFFSET 2 0 0", "OFFSET 2 inf 0", r"line 8: OFFSET of Knee holds a value that is not finite"),
        (
            "CHANNELS 1 Z",
            "CHANNELS one Z",
            r"line 9: CHANNELS of Knee expects their number, up to 6, got one",
        ),
        (
            "CHANNELS 1 Z",
            f"CHANNELS {'1' * 5001} Z",
            r"line 9: CHANNELS of Knee expects their number, up to 6, got 1{40}$",
        ),
        ("1 Zrotation", "1 Wrotation", r"line 9: CHANNELS of Knee expects 1 of .*, got Wrotation"),
        ("1 Zrotation", "2 Zrotation Zrotation", r"line 9: CHANNELS of Knee expects 2 of .*, got Zrot"),
        ("1 Zrotation", "2 Zrotation", r"line 10: CHANNELS of Knee expects 2 of .*, got Zrotation End"),
        ("  }\n}\nMOTION", "MOTION", r"the tree of joints is not complete before MOTION"),
        ("Frames: 2", "Frames: 3", r"line 17: Frames: 3, but 2 lines follow"),
        ("Frames: 2", "Frames two", r"line 17: expected Frames: and a number, got 'Frames two'"),
        ("Frame Time: 0.008333", "Frame Time: 0", r"line 18: Frame Time: expects a positive number, got 0"),
        ("30 0 0 40", "30 0 0", r"line 20: a frame expects 7 numbers, got 6"),
        ("30 0 0 40", "30 0 0 x", r"line 20: a frame: could not convert string to float: 'x'"),
        ("30 0 0 40", "30 0 0 NaN", r"line 20: a frame holds a value that is not finite"),
        ("0 0 0 10 0 0 20\n0 0 0 30 0 0 40\n", "", r"a motion without frames"),
    ],
)
def test_malformed_files_are_named_by_line(tmp_path, old, new, message):
    assert BVH.count(old) == 1
    path = tmp_path / "a.bvh"
    path.write_text(BVH.replace(old, new))
    with pytest.raises(BenchmarkError, match=re.escape(str(path)) + r"(, |: ).*" + message):
        read_bvh(path)
