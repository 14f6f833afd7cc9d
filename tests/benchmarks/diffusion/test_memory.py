import pytest
import torch
from written import FRAMES, TINY

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.memory import max_batch_within, sequence_bytes
from htp_diffusion.diffusion.sampling import even_max_batch
from htp_diffusion.models.config import DenoiserConfig


def test_memory_budget_gives_a_batch():
    # T=2, J=3, D=4 in float32: 16 * 24 numbers * 4 bytes + 13 bytes * 3 * 4.
    assert sequence_bytes(2, 3, 4) == 1536 + 156
    assert sequence_bytes(2, 3, 4, bytes_per_element=2) == 768 + 156
    assert max_batch_within(10_000, 1692) == 5
    assert max_batch_within(100, 1692) == 1
    with pytest.raises(BenchmarkError, match="above 0 bytes"):
        max_batch_within(0, 1692)


def test_calls_are_even_and_fit_into_memory():
    config, cpu = TINY.denoiser("htp"), torch.device("cpu")
    assert even_max_batch(60, config, 100.0, cpu) == 60
    # 16 arrays of tokens in float32 and the selection: room for 17, and 15 is what divides 60.
    one = 16 * FRAMES * 17 * 16 * 4 + 13 * 17 * FRAMES**2
    assert even_max_batch(60, config, 17.5 * one / 2**30, cpu) == 15
    assert even_max_batch(60, config, 1e-9, cpu) == 1


def test_what_pytorch_keeps_back_on_a_gpu_is_free(monkeypatch):
    config = DenoiserConfig(kind="d3dp")
    one = sequence_bytes(config.num_frames, 17, config.dim)

    def most(free, reserved, allocated):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 10**12))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: reserved)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: allocated)
        return even_max_batch(64, config, None, torch.device("cuda"))

    assert most(64 * one, 0, 0) == most(34 * one, 40 * one, 10 * one) == 32
    assert most(34 * one, 40 * one, 40 * one) == 16  # none of it kept back
