import re

import numpy as np
import pytest

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.asf import read_asf

ASF = """# a comment
:version 1.10
:name SMALL
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
  no units here: length 1
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name upper
    direction 1 0 0
    length 2
    axis 0 0 0 XYZ
    dof rz
    limits (-160.0 20.0)
  end
  begin
    id 2
    name lower
    direction 1 0 0
    length 3
    axis 0 0 0 XYZ
    dof rz
  end
:hierarchy
  begin
    root upper
    upper lower
  end
"""


def test_bones_come_after_their_parents_in_metres(tmp_path):
    path = tmp_path / "a.asf"
    # The last axis of rest turns y by 90 degrees about z: to -x.
    path.write_text(ASF.replace("length 3\n    axis 0 0 0", "length 3\n    axis 0 0 90"))
    skeleton = read_asf(path)
    assert skeleton.freedoms == {"root": 6, "upper": 1, "lower": 1}
    assert [(bone.name, bone.parent) for bone in skeleton.bones] == [("upper", "root"), ("lower", "upper")]
    upper, lower = skeleton.bones
    # An inch is 25.4 mm; a unit is an inch / 0.45.
    np.testing.assert_allclose(upper.offset, [2 / 0.45 * 0.0254, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(upper.axes, np.eye(3))
    np.testing.assert_allclose(lower.axes, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("length 0.45", "length .45"),
        ("length 0.45", "length 0.450000"),
        ("length 0.45", "length 4.5e-1"),
        ("length 0.45", "LENGTH 0.45"),
        ("angle deg", "angle DEG"),
        ("\n", "\r\n"),
        ("# a comment", "\ufeff# a comment"),
    ],
)
def test_units_and_lines_may_be_written_otherwise(tmp_path, old, new):
    path = tmp_path / "a.asf"
    path.write_bytes(ASF.replace(old, new).encode())
    upper, lower = read_asf(path).bones
    np.testing.assert_allclose(upper.offset, [2 / 0.45 * 0.0254, 0, 0], atol=1e-12)
    np.testing.assert_allclose(lower.offset, [3 / 0.45 * 0.0254, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("length 0.45", "length 1.0", r"line 6: unit length 1.0, expected the CMU database's length 0.45"),
        ("angle deg", "angle rad", r"line 7: unit angle rad, expected the CMU database's angle deg"),
        ("  angle deg\n", "", r":units does not tell the angle"),
        (":hierarchy", ":hierarchies", r"needs the sections :hierarchy"),
        (":version 1.10", "version 1.10", r"line 2: expected a section such as :units, got 'version 1.10'"),
        ("TX TY TZ RX RY RZ", "TX TY TZ RX RY", r"line 11: root order expects TX TY TZ RX RY RZ"),
        ("orientation 0 0 0", "orientation 0 90 0", r"line 14: root orientation expects 0 0 0, got 0 90 0"),
        ("  order TX TY TZ RX RY RZ\n", "", r":root does not tell the order"),
        ("direction 1 0 0\n    length 2", "direction 1 0\n    length 2", r"line 19: direction of upper .* 3"),
        ("length 2", "length two", r"line 20: length of upper: could not convert string to float: 'two'"),
        ("length 2", "length nan", r"line 20: length of upper holds a value that is not finite"),
        ("length 2\n", "\n", r"line 24: the bone lacks its length"),
        ("axis 0 0 0 XYZ\n    dof rz\n    lim", "axis 0 0 0\n    dof rz\n    lim", r"line 21: axis of upper"),
        (
            "axis 0 0 0 XYZ\n    dof rz\n    lim",
            "axis 0 0 0 XXZ\n    lim",
            r"line 21: axis of upper ends with",
        ),
        ("dof rz\n    lim", "dof rz l\n    lim", r"line 22: dof of upper expects some of rx ry rz, got rz l"),
        ("name lower", "name upper", r"line 32: a second bone of the name upper"),
        ("    upper lower\n", "", r"the hierarchy does not join to the root: lower"),
        ("upper lower", "upper lower hand", r"line 36: the hierarchy names hand"),
        ("upper lower", "upper lower lower", r"line 36: the hierarchy gives lower a second parent"),
        (
            "  end\n  begin\n    id 2",
            "  begin\n    id 2",
            r"line 24: expected the begin of a bone and later its",
        ),
        ("  end\n:hierarchy", ":hierarchy", r"line 25: a bone without its end"),
    ],
)
def test_malformed_skeletons_are_named_by_line(tmp_path, old, new, message):
    assert ASF.count(old) == 1
    path = tmp_path / "a.asf"
    path.write_text(ASF.replace(old, new))
    with pytest.raises(BenchmarkError, match=re.escape(str(path)) + r"(, |: ).*" + message):
        read_asf(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BenchmarkError, match=r"cannot read .*a\.asf: No such file"):
        read_asf(tmp_path / "a.asf")
