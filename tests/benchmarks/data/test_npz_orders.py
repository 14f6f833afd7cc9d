"""What an npz file may hold: arrays laid out either way, and of a pickle only what makes arrays."""

import numpy as np
import pytest

from htp_diffusion.data.formats.npz import read_member
from htp_diffusion.data.formats.unpickle import _globals


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_in_the_order_it_was_written(tmp_path, order):
    value = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", points=np.asarray(value, order=order))
    np.testing.assert_array_equal(read_member(tmp_path / "a.npz", "points"), value, strict=True)


def test_a_pickle_may_name_what_makes_arrays_and_nothing_else():
    """Whoever adds a name here says that no file can do harm with it."""
    assert {".".join(name) for name in _globals(str.encode)} == {
        "_codecs.encode",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
    }
