import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.units import MEBIBYTE
from htp_diffusion.data.formats import npz
from htp_diffusion.data.formats.npz import read_npz, read_npz_2d
from htp_diffusion.data.formats.unpickle import restricted_loads
from htp_diffusion.data.mocap.cmu import cmu_split

CMU = Path(__file__).parents[4] / "shared" / "data" / "cmu" / "data_3d_cmu.npz"
LAST_RIGHT_WRISTS = {
    "S01/01_05": (2188, (1.3249, -0.6249, 0.939)),
    "S02/02_02": (149, (0.3881, -1.6188, 0.9281)),
    "S03/03_02": (183, (0.604, -1.3909, 1.095)),
}
GARBAGE = b"\x80\x04this is not a pickle."


class Call:
    """Pickles into a call, which a free unpickler makes."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class Rebuilt:
    """Pickles into a call and then a state."""

    def __init__(self, function, args, state):
        self.parts = (function, args, state)

    def __reduce__(self):
        return self.parts


def poses(frames=4, joints=17, dim=3, dtype="float32"):
    array = np.random.default_rng(frames).standard_normal((frames, joints, dim))
    if dim == 3 and joints in (17, 32):  # thighs of 45 cm
        for hip, knee in ((1, 2), (4, 5) if joints == 17 else (6, 7)):
            array[:, knee] = array[:, hip] - [0.0, 0.0, 0.45]
    return array.astype(dtype)


def write(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def write_member(path, key, payload, descr="|O"):
    """An npz file whose one member has an array header and then these bytes."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": descr, "fortran_order": False, "shape": ()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{key}.npy", member.getvalue() + payload)
    return path


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_motions_come_back_as_they_were_written(tmp_path, dtype):
    tree = {
        "S1": {"Walking": poses(5, dtype=dtype), "Sitting 1": poses(3, dtype=dtype)},
        "S5": {"Eating": poses(2)},
    }
    motions = read_npz(write(tmp_path / "a.npz", positions_3d=tree), fps=50.0)
    assert [m.name for m in motions] == ["S1/Walking", "S1/Sitting 1", "S5/Eating"]
    for motion in motions:
        subject, action = motion.name.split("/")
        expected = torch.from_numpy(tree[subject][action].astype("float32"))
        assert torch.equal(motion.positions, expected)
        assert motion.fps == 50.0


def test_the_32_joints_of_human36m_become_the_17(tmp_path):
    # VideoPose3D drops these from the 32.
    dropped = {4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31}
    array = poses(3, 32)
    (motion,) = read_npz(write(tmp_path / "a.npz", positions_3d={"S1": {"a": array}}))
    kept = [joint for joint in range(32) if joint not in dropped]
    np.testing.assert_array_equal(motion.positions.numpy(), array[:, kept])


def test_2d_poses_and_metadata(tmp_path):
    views = [poses(4, 17, 2), poses(5, 17, 2)]
    symmetry = [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]]
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": symmetry}
    path = write(tmp_path / "a.npz", positions_2d={"S1": {"Walking": views}}, metadata=metadata)
    read = read_npz_2d(path)
    assert (read.layout_name, read.num_joints) == ("h36m", 17)
    assert [list(read.left), list(read.right)] == symmetry
    for got, expected in zip(read.poses["S1/Walking"], views, strict=True):
        np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_survives_every_protocol(protocol):
    value = {
        "floats": poses(2),
        "fortran": np.asfortranarray(poses(3)),
        "ints": np.arange(5, dtype=np.int16),
        "bools": np.array([True, False]),
        "text": np.array(["ab", "c"]),
        "scalar": np.float64(2.5),
        "objects": np.array([None, {"a": [1, (2.0, "x")]}], dtype=object),
        "plain": [1, "é", b"\xff", None, True, 2**70],
    }
    read = restricted_loads(pickle.dumps(value, protocol), "a.npz")
    for key in ("floats", "fortran", "ints", "bools", "text"):
        np.testing.assert_array_equal(read[key], value[key], strict=True)
    assert read["scalar"] == 2.5
    assert read["objects"].tolist() == value["objects"].tolist()
    assert read["plain"] == value["plain"]


def test_an_array_of_python_2(tmp_path):
    # Written by hand as Python 2 and numpy 1 did: protocol 2, the data as a byte string, numpy.core names.
    payload = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08\x00\x00\x80?\x00\x00\x00\xc0tb."
    )
    np.testing.assert_array_equal(restricted_loads(payload, "a"), np.array([1.0, -2.0], dtype="float32"))


def malicious(marker):
    """Pickles that write a file, or change the reader, if anything of them runs; what the error must name."""
    command = f"touch {marker}"
    run = Call(os.system, command)
    nested = pickle.dumps(run)
    return {
        "call": (pickle.dumps({"S1": run}), "posix.system|nt.system"),
        "in an array": (pickle.dumps(np.array([run], dtype=object)), "posix.system|nt.system"),
        "deep": (
            pickle.dumps({"S1": {"a": [np.array([{"x": run}], dtype=object)]}}),
            "posix.system|nt.system",
        ),
        "eval": (pickle.dumps(Call(eval, f"open({str(marker)!r}, 'w')")), "builtins.eval"),
        "getattr": (pickle.dumps(Call(getattr, "x", "upper")), "builtins.getattr"),
        "numpy load": (b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.", "numpy.load"),
        "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.", "numpy.ndarray.__init__"),
        "unpickler": (pickle.dumps(Call(pickle.loads, nested)), "_pickle.loads"),
        "inst": (b"(S'" + command.encode() + b"'\nios\nsystem\n.", "os.system"),
        "class": (pickle.dumps(Rebuilt(io.BytesIO, (), None)), "_io.BytesIO"),
        # A state given to an allowed global would change it for every later file.
        "build": (b"\x80\x02cnumpy\ndtype\nN}(U\x07_recordK\x01u\x86b.", "a state given to a function"),
        "build class": (b"\x80\x02cnumpy\nndarray\n}U\x01aK\x01sb.", "a state given to a function"),
        "newobj": (b"\x80\x02cnumpy\nndarray\n)\x81.", "damaged pickle"),
        "ndarray call": (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "numpy.ndarray"),
        "subtype": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\n\x85R.",
            "an array subclass",
        ),
        "encoding": (
            b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00bz2\x86R.",
            "an encoding",
        ),
        "a bare global": (b"\x80\x02cnumpy\nndarray\n.", "neither an array nor a plain container"),
        "an empty array": (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R.",
            "neither an array nor a plain container",
        ),
        "itself": (b"\x80\x02]q\x00h\x00a.", "contains itself"),
        "persistent": (b"\x80\x02K\x01Q.", "damaged pickle"),
    }


@pytest.mark.parametrize("name", malicious("x"))
def test_a_malicious_file_is_refused_and_nothing_in_it_runs(tmp_path, name):
    marker = tmp_path / "marker"
    payload, message = malicious(marker)[name]
    with pytest.raises(BenchmarkError, match=message) as caught:
        read_npz(write_member(tmp_path / "evil.npz", "positions_3d", payload))
    assert "evil.npz" in str(caught.value)
    assert not marker.exists()
    # The reader is as it was.
    np.testing.assert_array_equal(restricted_loads(pickle.dumps(poses()), "a"), poses())


def test_the_malicious_call_would_run_in_a_free_unpickler(tmp_path):
    # Shows that the test above tests something.
    marker = tmp_path / "marker"
    pickle.loads(malicious(marker)["in an array"][0])
    assert marker.exists()


@given(st.data())
def test_damaged_pickles_give_the_one_error_or_a_value(data):
    blob = bytearray(pickle.dumps({"S1": {"a": poses(1, 2)}}, 2))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BenchmarkError):
        restricted_loads(bytes(blob), "a")


def test_files_that_are_not_the_layout(tmp_path):
    def message(path):
        with pytest.raises(BenchmarkError) as caught:
            read_npz(path)
        return str(caught.value)

    def saved(tree):
        return message(write(tmp_path / "a.npz", positions_3d=tree))

    (tmp_path / "text.npz").write_text("hello")
    assert "no such file" in message(tmp_path / "none.npz")
    assert "not a readable npz file" in message(tmp_path / "text.npz")
    assert "not a readable npz file" in message(tmp_path)
    assert "no key positions_3d; the file has a, b" in message(
        write(tmp_path / "k.npz", a=poses(), b=poses())
    )
    assert "array of float32" in message(write(tmp_path / "a.npz", positions_3d=poses()))
    assert "holds a list" in message(write_member(tmp_path / "l.npz", "positions_3d", pickle.dumps([1])))
    assert "damaged pickle" in message(write_member(tmp_path / "g.npz", "positions_3d", GARBAGE))
    assert "is empty" in saved({})
    assert "of S1 holds a ndarray" in saved({"S1": poses()})
    assert "S1/a is not an array of numbers" in saved({"S1": {"a": [1, 2]}})
    assert "S1/a has shape (4, 17, 2), expected (frames, joints, 3)" in saved({"S1": {"a": poses(dim=2)}})
    assert "S1/a has shape (0, 17, 3)" in saved({"S1": {"a": poses(0)}})
    assert "S1/a has 15 joints, expected 17 or 32" in saved({"S1": {"a": poses(joints=15)}})
    assert "S1/a holds values that are not finite" in saved(
        {"S1": {"a": poses() / np.float32("inf") * np.nan}}
    )


def test_2d_files_that_are_not_the_layout(tmp_path):
    metadata = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": [[1], [2]]}

    def message(tree, metadata):
        with pytest.raises(BenchmarkError) as caught:
            read_npz_2d(write(tmp_path / "a.npz", positions_2d=tree, metadata=metadata))
        return str(caught.value)

    assert "metadata must hold" in message({}, {"layout_name": "coco"})
    assert "metadata must hold" in message({}, metadata | {"num_joints": np.inf})
    assert "expects a text, got a value of type int" in message(
        {"S1": {"a": [poses(3, 17, 2)]}}, metadata | {"layout_name": 10**5000}
    )
    assert "one array a camera" in message({"S1": {"a": np.array(3.0)}}, metadata)
    assert "one array a camera" in message({"S1": {"a": []}}, metadata)
    assert "has 16 joints, the metadata 17" in message({"S1": {"a": [poses(3, 16, 2)]}}, metadata)
    assert "camera 0 has shape (3, 17, 3)" in message({"S1": {"a": [poses(3)]}}, metadata)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    still = np.zeros((80_000, 17, 3), dtype="float32")  # 16 MB, packed to a thousandth
    still[:, [2, 5], 2] = -0.45
    path = write(tmp_path / "a.npz", positions_3d={"S1": {"a": still}})
    assert len(read_npz(path)) == 1
    monkeypatch.setattr(npz, "_LEAST_LIMIT", MEBIBYTE)
    with pytest.raises(BenchmarkError, match=r"positions_3d has 15.56 MiB, over the limit of \d\.\d+$"):
        read_npz(path)
    path = write(tmp_path / "b.npz", positions_3d={"S1": {"a": poses(20_000)}})  # packs to over a half
    assert len(read_npz(path)) == 1


@pytest.mark.skipif(not CMU.exists(), reason="the CMU data are not here")
def test_the_cmu_file():
    motions = read_npz(CMU)
    train, test = cmu_split(motions)
    assert (len(train), len(test)) == (21, 7)
    # From np.load(CMU, allow_pickle=True)["positions_3d"].item()[subject][action]: length and [-1, 16].
    by_name = {motion.name: motion.positions for motion in motions}
    for name, (frames, wrist) in LAST_RIGHT_WRISTS.items():
        assert len(by_name[name]) == frames
        assert by_name[name][-1, 16].tolist() == pytest.approx(wrist, abs=1e-4)
