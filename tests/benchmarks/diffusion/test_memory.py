import pytest

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.memory import max_batch_within, sequence_bytes


def test_memory_budget_gives_a_batch():
    # T=2, J=3, D=4 in float32: 16 * 24 numbers * 4 bytes + 13 bytes * 3 * 4.
    assert sequence_bytes(2, 3, 4) == 1536 + 156
    assert sequence_bytes(2, 3, 4, bytes_per_element=2) == 768 + 156
    assert max_batch_within(10_000, 1692) == 5
    assert max_batch_within(100, 1692) == 1
    with pytest.raises(BenchmarkError, match="above 0 bytes"):
        max_batch_within(0, 1692)
