import io

import numpy as np
import pytest
import torch

import prepare_cmu
from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.npz import read_npz
from htp_diffusion.data.mocap.h36m_joints import ASF_POINTS, BVH_POINTS, coincident_joints, to_motion
from htp_diffusion.pose.layout import H36M_17

UNIT = 0.0254 / 0.45


def asf_text():
    """A skeleton whose bones all hang on the root: bone i ends (i, 2 i, 3 i) units from it."""
    names = [name for name in ASF_POINTS.values() if name != "root"]
    bones = "\n".join(
        f"begin\nname {name}\ndirection {i} {2 * i} {3 * i}\nlength 1\naxis 0 0 0 XYZ\nend"
        for i, name in enumerate(names, start=1)
    )
    head = ":units\nlength 0.45\nangle deg\n:root\norder TX TY TZ RX RY RZ\n:bonedata\n"
    return f"{head}{bones}\n:hierarchy\nbegin\nroot {' '.join(names)}\nend\n"


def amc_text(frames):
    return ":DEGREES\n" + "".join(f"{i + 1}\nroot {i} 0 0 0 0 0\n" for i in range(frames))


def bvh_text(frames):
    """The same points in the same places, the head's end as the end site of the head."""
    joints = ""
    for i, name in enumerate(BVH_POINTS.values()):
        if name not in ("Hips", "Head end"):
            end = "End Site { OFFSET 1 2 3 }" if name == "Head" else ""
            joints += f"JOINT {name} {{ OFFSET {i} {2 * i} {3 * i} CHANNELS 0 {end} }}\n"
    channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation"
    rows = "\n".join(f"{i} 0 0 0 0 0" for i in range(frames))
    head = f"HIERARCHY\nROOT Hips {{ OFFSET 0 0 0 {channels}\n{joints}}}\n"
    return f"{head}MOTION\nFrames: {frames}\nFrame Time: 0.0083333\n{rows}\n"


def expected(frames):
    """Joint i of a frame: (frame + i, 2 i, 3 i) units, y up, so (frame + i, -3 i, 2 i) with z up."""
    i = torch.arange(17.0)
    at = torch.tensor([float(frame) for frame in frames])[:, None]
    return torch.stack(torch.broadcast_tensors(at + i, -3 * i, 2 * i), dim=-1) * UNIT


@pytest.fixture
def folder(tmp_path):
    for subject in ("02", "40"):
        (tmp_path / "in" / subject).mkdir(parents=True)
    (tmp_path / "in" / "02" / "02.asf").write_text(asf_text())
    (tmp_path / "in" / "02" / "02_01.amc").write_text(amc_text(5))
    (tmp_path / "in" / "40" / "40_12.bvh").write_text(bvh_text(6))
    (tmp_path / "in" / "README").write_text("nothing of interest")
    return tmp_path


def run(folder, *options):
    out = folder / "out.npz"
    run_command(prepare_cmu.main, prepare_cmu.Options, [str(folder / "in"), str(out), *options])
    return {motion.name: motion.positions for motion in read_npz(out)}


def refused(capsys, folder, *options):
    """The one line that a refused command leaves."""
    with pytest.raises(SystemExit) as left:
        run(folder, *options)
    assert left.value.code == 2
    assert not (folder / "out.npz").exists()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    return line


def test_the_real_clips_equal_their_published_conversion(cmu_path, tmp_path):
    out = tmp_path / "out.npz"
    run_command(prepare_cmu.main, prepare_cmu.Options, [str(cmu_path / "asfamc"), str(out)])
    reference = {motion.name: motion.positions for motion in read_npz(cmu_path / "data_3d_cmu.npz")}
    motions = read_npz(out)
    assert len(motions) == 12
    for motion in motions:
        torch.testing.assert_close(motion.positions, reference[motion.name], atol=1e-4, rtol=0)
        assert coincident_joints(motion) == []


def test_every_joint_has_a_point_of_its_own_and_of_its_side():
    for points, left, right in ((ASF_POINTS, "l", "r"), (BVH_POINTS, "Left", "Right")):
        assert tuple(points) == H36M_17.joints
        assert len(set(points.values())) == 17
        for a, b in zip(H36M_17.left, H36M_17.right, strict=True):
            names = points[H36M_17.joints[a]], points[H36M_17.joints[b]]
            assert names[0].removeprefix(left) == names[1].removeprefix(right)
            assert names[0].startswith(left)


def test_both_formats_end_in_the_same_layout(folder, capsys):
    motions = run(folder)
    assert list(motions) == ["S02/02_01", "S40/40_12"]
    torch.testing.assert_close(motions["S02/02_01"], expected([0, 2, 4]), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(motions["S40/40_12"], expected([0, 2, 4]), atol=1e-6, rtol=1e-6)
    shown = capsys.readouterr().out
    assert "(2 motions, 6 frames at 60 a second)" in shown
    assert "note" not in shown


def test_the_file_is_a_dictionary_by_subject_and_action(folder):
    run(folder)
    with np.load(folder / "out.npz", allow_pickle=True) as file:
        assert list(file) == ["positions_3d"]
        tree = file["positions_3d"].item()
    assert {subject: list(actions) for subject, actions in tree.items()} == {
        "S02": ["02_01"],
        "S40": ["40_12"],
    }
    assert tree["S02"]["02_01"].dtype == np.float32
    assert tree["S02"]["02_01"].shape == (3, 17, 3)


def test_rates_units_and_first_frames_are_the_callers(folder):
    motions = run(folder, "--fps", "40", "--bvh-unit", "0.1", "--bvh-skip", "2")
    torch.testing.assert_close(motions["S02/02_01"], expected([0, 3]), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(motions["S40/40_12"], expected([2, 5]) / UNIT * 0.1, atol=1e-5, rtol=1e-6)
    (folder / "in" / "40" / "40_12.bvh").unlink()
    assert len(run(folder, "--amc-fps", "60")["S02/02_01"]) == 5


def test_joints_in_one_place_are_told(folder, capsys):
    path = folder / "in" / "40" / "40_12.bvh"
    spine, thorax = (H36M_17.joints.index(joint) for joint in ("spine", "thorax"))
    place = "JOINT Neck {{ OFFSET {} {} {}".format
    old, new = (place(joint, 2 * joint, 3 * joint) for joint in (thorax, spine))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    run(folder)
    assert (
        "note: in 1 motions the skeleton puts joints in one place: spine and thorax"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("scale", "unit"),
    [(100, "0.01"), (1000, "0.001"), (1, "1"), (1 / 0.0254, "0.0254")],
)
def test_a_unit_in_which_nobody_is_human_is_refused_and_the_one_that_fits_named(folder, capsys, scale, unit):
    """A body with thighs of 42 cm in centimetres, millimetres, metres and inches."""
    scale *= 2 * UNIT
    path = folder / "in" / "40" / "40_12.bvh"
    text = path.read_text()
    for i in range(17):
        text = text.replace(
            f"{{ OFFSET {i} {2 * i} {3 * i} ", f"{{ OFFSET {i * scale} {2 * i * scale} {3 * i * scale} "
        )
    path.write_text(text)
    assert f"expected a unit of 0.05644 m: give --bvh-unit {unit}" in refused(capsys, folder)
    assert len(run(folder, "--bvh-unit", unit)) == 2


def test_an_added_t_pose_is_noticed_and_the_option_that_skips_it_named(folder, capsys):
    path = folder / "in" / "40" / "40_12.bvh"
    jump = 644 / 1000 / UNIT
    rows = "\n".join(f"{jump + i} 0 0 0 0 0" for i in range(1, 6))
    path.write_text(path.read_text().replace("\n".join(f"{i} 0 0 0 0 0" for i in range(1, 6)), rows))
    run(folder)
    told = capsys.readouterr().out
    assert "note: the first frame of 1 motions is far from the second, as an added T-pose is" in told
    assert "(in S40/40_12 a jump of 700 mm, later steps are below 56): --bvh-skip 1 leaves it out" in told
    run(folder, "--bvh-skip", "1")
    assert "T-pose" not in capsys.readouterr().out


def test_a_byte_order_mark_and_other_line_ends_are_no_error(folder):
    plain = run(folder)
    for path in (folder / "in").glob("*/*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace("\n", "\r\n").encode())
    marked = run(folder)
    assert plain.keys() == marked.keys()
    assert all(torch.equal(plain[name], marked[name]) for name in plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fps", "50"], "40_12.bvh has 120 frames a second, of which --fps 50 is no whole part"),
        (["--fps", "240"], "40_12.bvh has 120 frames a second, of which --fps 240 is no whole part"),
        (["--fps", "0"], "--fps expects 1e-6 to 1e6, got 0.0"),
        (["--bvh-unit", "nan"], "--bvh-unit expects 1e-6 to 1e6, got nan"),
        (["--bvh-skip", "6"], "40_12.bvh: nothing is left without its first 6 frames"),
        (["--bvh-skip", "-1"], "--bvh-skip expects at least 0, got -1"),
    ],
)
def test_options_that_do_not_fit(folder, capsys, options, message):
    (folder / "in" / "02" / "02_01.amc").unlink()
    assert message in refused(capsys, folder, *options)


@pytest.mark.parametrize(
    ("option", "ending"), [("--amc-fps", "amc"), ("--bvh-unit", "bvh"), ("--bvh-skip", "bvh")]
)
def test_options_of_a_format_that_is_not_there(folder, capsys, option, ending):
    for path in (folder / "in").glob(f"*/*.{ending}"):
        path.unlink()
    assert f"{option} is for .{ending} files, of which" in refused(capsys, folder, option, "1")


def test_a_rate_that_does_not_divide_amc_files(folder, capsys):
    assert "02_01.amc has 120 frames a second" in refused(capsys, folder, "--fps", "50")


def test_bones_that_are_missing_are_listed(folder, capsys):
    skeleton = folder / "in" / "02" / "02.asf"
    skeleton.write_text(asf_text().replace("lradius", "arm").replace("head", "skull"))
    assert "S02/02_01: the skeleton lacks head, lradius" in refused(capsys, folder)
    skeleton.write_text(asf_text())
    path = folder / "in" / "40" / "40_12.bvh"
    path.write_text(path.read_text().replace("Neck", "Throat"))
    assert "S40/40_12: the skeleton lacks Neck" in refused(capsys, folder)


def test_wrong_folders(folder, capsys):
    (folder / "in").rename(folder / "out")
    assert "in: no such folder" in refused(capsys, folder)
    (folder / "in").mkdir()
    assert "in holds no motions: expected subjects' folders" in refused(capsys, folder)
    (folder / "in").rmdir()
    (folder / "out" / "02").rename(folder / "in")
    assert "in is a subject's folder: give the folder that holds it" in refused(capsys, folder)


def test_skeletons_that_are_missing_or_too_many(folder, capsys):
    subject = folder / "in" / "02"
    (subject / "other.asf").write_text(asf_text())
    assert "02: AMC files need one .asf skeleton beside them, found 02.asf, other.asf" in refused(
        capsys, folder
    )
    for path in subject.glob("*.asf"):
        path.unlink()
    assert "found none" in refused(capsys, folder)


def test_one_motion_in_two_formats(folder, capsys):
    (folder / "in" / "02" / "02_01.bvh").write_text(bvh_text(2))
    assert "02_01.bvh would be the same motion" in refused(capsys, folder)


def test_malformed_files_and_lines_reach_the_user(folder, capsys):
    path = folder / "in" / "02" / "02_01.amc"
    path.write_text(path.read_text().replace("root 1 0 0", "root 1 nan 0"))
    assert "02_01.amc, line 5: root holds a value that is not finite" in refused(capsys, folder)


def test_a_file_that_cannot_be_written_leaves_the_old_one(folder, capsys, monkeypatch):
    run(folder)
    before = (folder / "out.npz").read_bytes()

    def full(file: io.BufferedWriter, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(SystemExit):
        run(folder)
    assert "out.npz: No space left on device" in capsys.readouterr().err
    assert (folder / "out.npz").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["in", "out.npz"]


def test_places_that_cannot_be_written_are_told_before_the_work(folder, capsys):
    for out, message in (("nowhere/a.npz", "in a folder that is not there"), ("in", "is a folder")):
        with pytest.raises(SystemExit):
            run_command(prepare_cmu.main, prepare_cmu.Options, [str(folder / "in"), str(folder / out)])
        assert message in capsys.readouterr().err


def test_coordinates_too_large_for_float32():
    points = {name: np.full((2, 3), 1e300) for name in ASF_POINTS.values()}
    with pytest.raises(BenchmarkError, match="a: joint positions that are not finite"):
        to_motion("a", points, ASF_POINTS, 60.0)


def test_every_third_frame_comes_at_a_third_of_the_rate():
    points = {name: np.random.default_rng(2).normal(size=(7, 3)) for name in set(ASF_POINTS.values())}
    thinned, whole = (to_motion("one", points, ASF_POINTS, 120.0, step) for step in (3, 1))
    assert (thinned.fps, whole.fps) == (40.0, 120.0)
    assert torch.equal(thinned.positions, whole.positions[[0, 3, 6]])
