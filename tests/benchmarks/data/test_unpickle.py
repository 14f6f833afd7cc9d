"""Small pickles that ask for endless work, memory or text are refused at once, in one short line."""

import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from fuzz.watched import MEBIBYTE, measured

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.unpickle import restricted_loads

DEEP = b")" + b"\x85" * 200_000  # a tuple in a tuple in a tuple
DOUBLED = b")" + b"q\x00h\x00\x86" * 60  # each tuple holds the one before twice: 2**60 items
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\n\x85q\x020cnumpy\ndtype\nq\x030"
NEW_ARRAY = b"h\x01h\x02R"


def refusal(payload, memory=50 * MEBIBYTE):
    """The error of a pickle, which takes no time and no more than this much memory."""

    def attempt():
        with pytest.raises(BenchmarkError) as caught:
            restricted_loads(payload, "a.pkl")
        return str(caught.value)

    told, taken = measured(attempt)
    assert taken < memory
    assert len(told) < 300
    assert "\n" not in told
    assert told.startswith("a.pkl: ")
    return told


def keyed(key):
    """Pickles with this key, by each way in which a pickle can hash something."""
    return {
        "SETITEM": b"\x80\x02}" + key + b"K\x01s.",
        "SETITEMS": b"\x80\x02}(K\x01K\x02" + key + b"K\x01u.",
        "DICT": b"\x80\x02(K\x01K\x02" + key + b"K\x01d.",
        "ADDITEMS": b"\x80\x04\x8f(K\x01" + key + b"\x90.",
        "FROZENSET": b"\x80\x04(K\x01" + key + b"\x91.",
        "a key in a key": b"\x80\x04}(" + key + b"\x91K\x01s.",
    }


@pytest.mark.parametrize("way", keyed(b""))
def test_keys_of_nested_tuples_are_refused(way):
    """In a process of its own: their hash overflows the stack of C, which ends the process."""
    load = (
        f"import sys; sys.path[:0] = {sys.path!r}; from htp_diffusion.base.errors import BenchmarkError\n"
        "from htp_diffusion.data.formats.unpickle import restricted_loads\n"
        "try: restricted_loads(sys.stdin.buffer.read(), 'a.pkl')\n"
        "except BenchmarkError as error: print(error)"
    )
    for key in (DEEP, DOUBLED):
        command = [sys.executable, "-c", load]
        done = subprocess.run(command, input=keyed(key)[way], capture_output=True, timeout=20)
        assert done.returncode == 0
        assert b"a.pkl: refused to read a dictionary or set with a value of type " in done.stdout


@pytest.mark.parametrize(
    "key", ["S1", b"S1", 1, -(2**63), 2.5, True, None, np.str_("S1"), np.int64(3), np.float32(0.5)]
)
@pytest.mark.parametrize("protocol", range(2, 6))
def test_texts_and_numbers_are_keys(key, protocol):
    assert restricted_loads(pickle.dumps({key: 1}, protocol), "a") == {key: 1}
    if protocol < 4:  # which writes a set as a call
        return
    assert restricted_loads(pickle.dumps({key}, protocol), "a") == {key}
    assert restricted_loads(pickle.dumps(frozenset([key]), protocol), "a") == frozenset([key])


def test_integers_of_one_hash_are_refused():
    # All multiples of 2**61 - 1 have the hash 0: a dictionary of 400,000 takes half an hour.
    multiples = [number * (2**61 - 1) for number in range(400_000)]
    keys = b"".join(b"\x8a\x0c" + number.to_bytes(12, "little") + b"N" for number in multiples)
    assert "as a key" in refusal(b"\x80\x02}(" + keys + b"u.")
    assert "a memo of many digits" in refusal(b"N" + b"".join(b"p%d\n" % number for number in multiples))


def test_a_scalar_does_not_become_a_tuple_after_it_became_a_key():
    scalar = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nq\x02U\x02f8\x85RU\x08" + bytes(8) + b"\x86R"
    state = b"(K\x01K\x01\x85h\x02U\x01O\x85R\x89]" + DOUBLED + b"atb"
    assert "a state given to a scalar" in refusal(b"\x80\x02}" + scalar + state + b"K\x01s.")


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"cnumpy\ndtype\n(" + DOUBLED[:73] + b"tR.", "the array type a value of type tuple"),
        (b"cnumpy\ndtype\nX" + struct.pack("<I", 10**6) + b"f" * 10**6 + b"\x85R.", "the array type 'ffff"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00a" + DOUBLED[:73] + b"\x86R.", "an encoding to a value"),
        (b"cnumpy.core.numeric\n_frombuffer\n(Ncnumpy\ndtype\nU\x02f4\x85R" + DOUBLED[:73] + b"NtR.",
         "the array shape a value of type tuple"),
        (b"X" + struct.pack("<I", 10**6) + b"m\n" * 500_000 + b"X\x01\x00\x00\x00n\x93.", "the global m"),
        (b"F" + b"9x" * 10**6 + b"\n.", "could not convert"),
    ],
)  # fmt: skip
def test_values_are_told_in_a_few_words(payload, message):
    assert message in refusal(b"\x80\x04" + payload)


@pytest.mark.parametrize(
    ("dtype", "state", "message"),
    [
        # numpy's own __setstate__ would take each of these at its word.
        ("f4", (3, "<", None, ("a",), {"a": ("O", 0)}, 8, 1, 0), "a structured array type"),
        ("f4", (3, "x", None, None, None, -1, -1, 0), "the byte order"),
        ("V8", None, "the array type 'V8'"),
        ("M8[s]", None, "the array type"),
        ("f4,O", None, "the array type"),
    ],
)
def test_crafted_array_types_are_refused(dtype, state, message):
    blob = b"\x80\x02cnumpy\ndtype\n" + pickle.dumps(dtype, 2)[2:-1] + b"\x85R"
    if state is not None:
        blob += pickle.dumps(state, 2)[2:-1] + b"b"
    with pytest.raises(BenchmarkError, match=message):
        restricted_loads(blob + b".", "a")


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        ((3,), b"\0" * 8, "8 items of data where 12 belong"),
        ((-1,), b"\0" * 4, "the array shape"),
        ((2**62, 4), b"\0" * 4, "belong"),
        ((1,), ["x"], "array data of the wrong kind"),
        (1, b"\0" * 4, "the array shape"),
    ],
)
def test_crafted_array_states_are_refused(shape, data, message):
    head = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R("
    middle = pickle.dumps(1, 2)[2:-1] + pickle.dumps(shape, 2)[2:-1] + b"cnumpy\ndtype\nU\x02f4\x85R\x89"
    tail = pickle.dumps(data, 3)[2:-1]
    with pytest.raises(BenchmarkError, match=message):
        restricted_loads(head + middle + tail + b"tb.", "a")


@pytest.mark.parametrize("code", [b"\x96", b"\x8e", b"\x8d"])
def test_a_length_is_not_believed(code):
    refusal(b"\x80\x05" + code + struct.pack("<Q", 3000 * MEBIBYTE) + b".")
    assert "3145728000 bytes of which 1 are there" in refusal(
        b"\x80\x05\x96" + struct.pack("<Q", 3000 * MEBIBYTE) + b"."
    )


@pytest.mark.parametrize("code", [b"\x8b", b"B", b"X", b"T"])
def test_a_short_length_is_not_believed(code):
    refusal(b"\x80\x03" + code + struct.pack("<i", 2000 * MEBIBYTE) + b".")


def test_arrays_in_bytearrays_come_back_read_only():
    values = np.arange(6.0).reshape(2, 3)
    for data in (bytearray(values), bytearray(values.astype("<f4"))):
        dtype = np.dtype(f"<f{len(data) // 6}")
        payload = (
            b"\x80\x05cnumpy.core.numeric\n_frombuffer\n(\x96" + struct.pack("<Q", len(data)) + data
            + b"cnumpy\ndtype\nU\x02" + dtype.str[1:].encode() + b"\x85RK\x02K\x03\x86U\x01CtR."
        )  # fmt: skip
        read = restricted_loads(payload, "a")
        np.testing.assert_array_equal(read, values.astype(dtype), strict=True)
        assert not read.flags.writeable


def test_one_text_in_many_places_takes_the_memory_of_one():
    size = 10**6
    text = b"X" + struct.pack("<I", size) + b"a" * size + b"q\x050"
    shape = b"J" + struct.pack("<i", size) + b"\x85"
    array = NEW_ARRAY + b"(K\x01" + shape + b"h\x03U\x02u1\x85R\x89h\x05tb"
    arrays, taken = measured(
        lambda: restricted_loads(b"\x80\x02" + RECONSTRUCT + text + b"](" + 13 * array + b"e.", "a")
    )
    assert taken < 10 * MEBIBYTE
    assert all(array.tobytes() == b"a" * size for array in arrays)
    encoded = b"c_codecs\nencode\nq\x06X\x06\x00\x00\x00latin1q\x070](" + b"h\x06h\x05h\x07\x86R" * 1000
    values, taken = measured(lambda: restricted_loads(b"\x80\x02" + text + encoded + b"e.", "a"))
    assert taken < 10 * MEBIBYTE
    assert values == [b"a" * size] * 1000


def test_what_is_in_too_many_places_is_refused():
    """Whoever turns it into an array goes through 2**60 numbers."""
    told = "lists or arrays that are in too many places"
    assert told in refusal(b"\x80\x02" + DOUBLED + b".")
    assert told in refusal(b"\x80\x02]" + b"q\x00](h\x00h\x00e" * 60 + b".")
    size = 10**6
    text = b"X" + struct.pack("<I", size) + b"a" * size + b"q\x050"
    state = b"(K\x01J" + struct.pack("<i", size) + b"\x85h\x03U\x02u1\x85R\x89h\x05tb"
    array = NEW_ARRAY + state + b"q\x060"
    assert told in refusal(b"\x80\x02" + RECONSTRUCT + text + array + b"](" + b"h\x06" * 1000 + b"e.")
    objects = b"(" + b"N" * 1000 + b"lq\x050"
    state = b"(K\x01M\xe8\x03\x85h\x03U\x01O\x85R\x89h\x05tb"
    many = b"](" + (NEW_ARRAY + state) * 2 + b"e."
    assert "arrays that share their objects" in refusal(b"\x80\x02" + RECONSTRUCT + objects + many)


def test_a_value_may_be_in_a_few_places():
    shared = [1, 2, np.arange(3.0)]
    read = restricted_loads(pickle.dumps([shared] * 1000), "a")
    assert all(entry[:2] == [1, 2] and (entry[2] == np.arange(3.0)).all() for entry in read)
