"""Where and in what a script computes, as it was asked."""

import pytest
import torch

from htp_diffusion.base.computing import Precise, Threads
from htp_diffusion.base.errors import BenchmarkError


@pytest.fixture
def threads():
    """The threads of this process, which are put back."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_as_many_threads_compute_as_were_asked_for(threads):
    Threads(threads=threads + 1).set_threads()
    assert torch.get_num_threads() == threads + 1
    Threads().set_threads()  # and none asked for are left as they are
    assert torch.get_num_threads() == threads + 1


def test_no_thread_is_refused():
    with pytest.raises(BenchmarkError, match="threads expects at least 1, got 0"):
        Threads(threads=0).set_threads()


def test_a_precision_that_the_device_lacks_is_refused_before_anything_is_computed():
    assert Precise(device="cpu", precision="bf16").start() == torch.device("cpu")
    with pytest.raises(BenchmarkError, match="precision tf32 needs a CUDA device; use fp32, bf16 or fp16"):
        Precise(device="cpu", precision="tf32").start()
