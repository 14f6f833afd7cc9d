"""TCEP where products may be taken in fewer bits. Oracle: float64, and TCEP where they are not."""

import pytest
import torch
from precisions import backend_precision, matmul_precision

from htp_modules import TCEP
from htp_modules.tcep import temporal_correlation

NEWER = hasattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision")  # from PyTorch 2.9 on


SETTINGS = {name: lambda name=name: matmul_precision(name) for name in ("high", "medium")}
if NEWER:
    BACKENDS = {
        "cuda": torch.backends.cuda.matmul,
        "cpu": torch.backends.mkldnn.matmul,
        "all": torch.backends,
    }
    SETTINGS |= {
        f"{where}, {precision}": lambda backend=backend, precision=precision: backend_precision(
            backend, precision
        )
        for where, backend in BACKENDS.items()
        for precision in ("ieee", "tf32", *(() if where == "cuda" else ("bf16",)))
    }


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_mask_does_not_depend_on_the_precision_of_products(setting):
    tcep, x = TCEP(64, 27).eval(), torch.randn(2, 27, 17, 64)
    with torch.no_grad():
        expected = tcep(x)[1].keep
        with SETTINGS[setting]():
            found = tcep(x)[1].keep
            exact = temporal_correlation(x.transpose(1, 2))
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
