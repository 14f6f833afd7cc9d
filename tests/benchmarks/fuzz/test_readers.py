"""Every reader against damaged files: a result or one error of ours, in time and in memory.

pytest tests/benchmarks/fuzz/test_readers.py --mutations 10000
"""

import importlib
import random
import warnings

import pytest
from fuzz.files import KINDS, mat_kind
from fuzz.mutation import mutated
from fuzz.watched import MEBIBYTE, measured

from htp_diffusion.base.errors import BenchmarkError


def fuzzed(kind, folder, count):
    """Read so many damaged files; returns how many were read and how many refused."""
    path = kind.write(folder)
    sound = kind.payload(path)
    kind.put(path, sound)
    kind.read(path)
    read = refused = 0
    for seed in range(count):
        kind.put(path, mutated(sound, seed))
        limit = 2 * path.stat().st_size + 200 * MEBIBYTE

        def attempt():
            try:
                kind.read(path)
            except BenchmarkError as error:
                return str(error)
            return None

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                told, memory = measured(attempt)
        except BaseException as error:
            raise AssertionError(f"{kind.name}, mutation {seed}: {type(error).__name__}: {error}") from error
        assert memory <= limit, f"{kind.name}, mutation {seed}: {memory / MEBIBYTE:.0f} MiB"
        assert told is None or told.strip(), f"{kind.name}, mutation {seed}: an error without a word"
        read, refused = read + (told is None), refused + (told is not None)
    return read, refused


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_file_is_read_or_refused(kind, tmp_path, mutations):
    read, refused = fuzzed(kind, tmp_path, mutations)
    print(f"{kind.name}: {read} read, {refused} refused")
    assert refused > 0.05 * mutations  # the damage is felt


@pytest.mark.parametrize(("name", "package"), [("MAT 5", "scipy.io"), ("MAT 7.3", "h5py")])
def test_a_damaged_matlab_file_is_read_or_refused(name, package, tmp_path, mutations):
    pytest.importorskip(package)
    read, refused = fuzzed(mat_kind(name, importlib.import_module(package)), tmp_path, mutations)
    print(f"{name}: {read} read, {refused} refused")


def test_mutations_are_those_of_their_seed():
    data = bytes(random.Random(0).randrange(256) for _ in range(500))
    assert [mutated(data, seed) for seed in range(50)] == [mutated(data, seed) for seed in range(50)]
    assert sum(mutated(data, seed) != data for seed in range(200)) > 180
