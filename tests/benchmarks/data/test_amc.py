import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.amc import forward_kinematics, read_amc
from htp_diffusion.data.mocap.asf import METRES, read_asf

ANGLES = st.floats(-180, 180)
ORDERS = st.sampled_from(["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])

LENGTHS = {"upper": 2.0, "lower": 3.0}
AMC = """#!OML:ASF C:\\a folder\\small.asf
:FULLY-SPECIFIED
:DEGREES
1
root 0 0 0 0 0 0
upper 10
lower 20
2
root 0 0 0 0 0 0
lower 40
upper 30
"""


def asf_bone(name, direction, length, angles, order, dof):
    lines = ["begin", f"name {name}", f"direction {' '.join(map(repr, direction))}", f"length {length!r}"]
    lines += [f"axis {' '.join(map(repr, angles))} {order}"]
    lines += [f"dof {' '.join(dof)}"] if dof else []
    return "\n".join([*lines, "end"])


def asf_text(bones, hierarchy, root_order="TX TY TZ RX RY RZ"):
    head = f":units\nlength 0.45\nangle deg\n:root\norder {root_order}\n:bonedata\n"
    return head + "\n".join(bones) + "\n:hierarchy\nbegin\n" + "\n".join(hierarchy) + "\nend\n"


TWO_BONES = asf_text(
    [asf_bone(name, (1.0, 0.0, 0.0), length, (0.0,) * 3, "XYZ", ["rz"]) for name, length in LENGTHS.items()],
    ["root upper", "upper lower"],
)


def amc_text(*frames):
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for number, frame in enumerate(frames, start=1):
        lines.append(str(number))
        lines += [f"{name} {' '.join(map(repr, values))}" for name, values in frame.items()]
    return "\n".join(lines)


def solve(folder, asf, amc):
    (folder / "a.asf").write_text(asf, newline="\r\n")  # as the database's files have them
    (folder / "a.amc").write_text(amc, newline="\r\n")
    skeleton = read_asf(folder / "a.asf")
    return forward_kinematics(skeleton, read_amc(folder / "a.amc", skeleton))


# Quaternions (w, x, y, z), one frame and one bone at a time, with no matrix.


def times(p, q):
    a, b, c, d = p
    e, f, g, h = q
    return (
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    )


def conjugate(q):
    return (q[0], -q[1], -q[2], -q[3])


def turn(q, vector):
    return times(times(q, (0.0, *vector)), conjugate(q))[1:]


def one_after_another(axes, degrees):
    """The rotation about the first axis, then about the second, ... all of them fixed."""
    total = (1.0, 0.0, 0.0, 0.0)
    for axis, angle in zip(axes, degrees, strict=True):
        half = math.radians(angle) / 2
        step = [math.cos(half), 0.0, 0.0, 0.0]
        step["xyz".index(axis) + 1] = math.sin(half)
        total = times(tuple(step), total)
    return total


@given(st.lists(st.tuples(*[st.floats(-9, 9)] * 2, ANGLES, ANGLES, ANGLES), min_size=1, max_size=4))
def test_two_bones_in_a_plane(tmp_path, frames):
    rows = [{"root": (x, y, 1.0, 0.0, 0.0, r), "upper": (u,), "lower": (v,)} for x, y, r, u, v in frames]
    points = solve(tmp_path, TWO_BONES, amc_text(*rows))
    for frame, (x, y, r, u, v) in enumerate(frames):
        first, second = math.radians(r + u), math.radians(r + u + v)
        elbow = (x + 2 * math.cos(first), y + 2 * math.sin(first), 1.0)
        hand = (elbow[0] + 3 * math.cos(second), elbow[1] + 3 * math.sin(second), 1.0)
        inches = {"root": (x, y, 1.0), "upper": elbow, "lower": hand}
        for name, point in inches.items():
            # An inch is 25.4 mm; a unit is an inch / 0.45.
            expected = [value / 0.45 * 0.0254 for value in point]
            assert points[name][frame].tolist() == pytest.approx(expected, abs=1e-12)


def test_a_bone_turns_about_its_own_axes(tmp_path):
    # Its z is the world's -y after 90 degrees about x; turning x by t about -y gives (cos t, 0, sin t).
    bone = asf_bone("b", (1.0, 0.0, 0.0), 1.0, (90.0, 0.0, 0.0), "XYZ", ["rz"])
    points = solve(tmp_path, asf_text([bone], ["root b"]), amc_text({"root": (0.0,) * 6, "b": (30.0,)}))
    expected = [math.cos(math.pi / 6) * METRES, 0.0, 0.5 * METRES]
    assert points["b"][0].tolist() == pytest.approx(expected, abs=1e-12)


@given(
    st.lists(
        st.tuples(ORDERS, st.permutations(["rx", "ry", "rz"]), st.integers(0, 3)), min_size=3, max_size=5
    ),
    st.permutations(["TX", "TY", "TZ", "RX", "RY", "RZ"]),
    st.integers(0, 1000),
)
def test_trees_agree_with_quaternions(tmp_path, shapes, root_order, seed):
    draw = np.random.default_rng(seed)
    bones, frames = {}, [{"root": draw.uniform(-90, 90, 6).tolist()} for _ in range(2)]
    for number, (order, dof, freedom) in enumerate(shapes):
        parent = "root" if number == 0 else ("root", *bones)[draw.integers(0, number + 1)]
        angles = draw.uniform(-180, 180, 3).tolist()
        bones[f"b{number}"] = (parent, draw.normal(size=3).tolist(), 1.5, angles, order, dof[:freedom])
        for frame in frames:
            if freedom:
                frame[f"b{number}"] = draw.uniform(-180, 180, freedom).tolist()
    hierarchy = [f"{bone[0]} {name}" for name, bone in reversed(bones.items())]  # children first
    text = asf_text(
        [asf_bone(name, *bone[1:]) for name, bone in bones.items()], hierarchy, " ".join(root_order)
    )
    points = solve(tmp_path, text, amc_text(*frames))
    assert set(points) == {"root", *bones}
    for index, frame in enumerate(frames):
        root = dict(zip(root_order, frame["root"], strict=True))
        turned = [what for what in root_order if what[0] == "R"]
        ends = {"root": [root[f"T{axis}"] for axis in "XYZ"]}
        world = {
            "root": one_after_another([what[1].lower() for what in turned], [root[what] for what in turned])
        }
        for name, (parent, direction, length, angles, order, dof) in bones.items():
            by_axis = dict(zip("XYZ", angles, strict=True))
            own = one_after_another(order.lower(), [by_axis[axis] for axis in order])
            local = one_after_another([what[1] for what in dof], frame.get(name, []))
            world[name] = times(world[parent], times(own, times(local, conjugate(own))))
            arm = turn(world[name], [value * length for value in direction])
            ends[name] = [a + b for a, b in zip(ends[parent], arm, strict=True)]
        for name, end in ends.items():
            expected = [value / 0.45 * 0.0254 for value in end]
            assert points[name][index].tolist() == pytest.approx(expected, abs=1e-9)


def test_values_are_found_by_name_in_any_order_of_lines(tmp_path):
    (tmp_path / "a.asf").write_text(TWO_BONES)
    (tmp_path / "a.amc").write_text(AMC)
    motion = read_amc(tmp_path / "a.amc", read_asf(tmp_path / "a.asf"))
    assert motion["upper"].tolist() == [[10.0], [30.0]]
    assert motion["lower"].tolist() == [[20.0], [40.0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (":DEGREES", ":RADIANS", r"line 3: expected a motion in degrees, fully specified; got :RADIANS"),
        ("upper 10", "elbow 10", r"line 6: the skeleton has no moving bone elbow"),
        ("upper 10", "upper 1.#QNAN", r"line 6: upper: could not convert string to float"),
        ("upper 10", "upper nan", r"line 6: upper holds a value that is not finite"),
        ("upper 10", "upper 10 20", r"line 6: upper expects 1 numbers, got 2"),
        ("upper 10", "lower 10", r"line 7: frame 1 gives lower twice"),
        ("upper 10\n", "", r"line 7: frame 1 ends without upper"),
        ("lower 40\nupper 30\n", "", r"line 9: frame 2 ends without upper, lower"),
        ("\n2\n", "\n3\n", r"line 8: expected frame 2, got 3"),
        ("\n1\n", "\n", r"line 4: expected the number of the first frame, got 'root"),
        (AMC, "", r"a motion without frames"),
    ],
)
def test_malformed_motions_are_named_by_line(tmp_path, old, new, message):
    assert AMC.count(old) == 1
    (tmp_path / "a.asf").write_text(TWO_BONES)
    path = tmp_path / "a.amc"
    path.write_text(AMC.replace(old, new))
    with pytest.raises(BenchmarkError, match=re.escape(str(path)) + r"(, |: ).*" + message):
        read_amc(path, read_asf(tmp_path / "a.asf"))
