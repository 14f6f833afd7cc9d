"""TCEP where products may be taken in fewer bits. Oracle: float64, and TCEP where they are not."""

import torch

from htp_modules import TCEP
from htp_modules.tcep import temporal_correlation


def test_the_mask_does_not_depend_on_the_precision_of_a_cpus_products():
    tcep, x = TCEP(64, 27).eval(), torch.randn(2, 27, 17, 64)
    before = torch.get_float32_matmul_precision()
    with torch.no_grad():
        expected = tcep(x)[1].keep
        try:
            torch.set_float32_matmul_precision("medium")
            found = tcep(x)[1].keep
            exact = temporal_correlation(x.transpose(1, 2))
        finally:
            torch.set_float32_matmul_precision(before)
    assert torch.equal(found, expected)
    wide = x.double().transpose(1, 2)
    torch.testing.assert_close(exact.double(), wide @ wide.mT / 8, rtol=1e-6, atol=1e-6)


def test_float64_stays_float64_under_autocast():
    tcep, x = TCEP(8, 9).double().eval(), torch.randn(1, 9, 3, 8, dtype=torch.float64)
    with torch.no_grad():
        expected, mask = tcep(x)
        with torch.autocast("cpu", torch.bfloat16):
            found, again = tcep(x)
    assert torch.equal(found, expected)
    assert torch.equal(again.keep, mask.keep)
