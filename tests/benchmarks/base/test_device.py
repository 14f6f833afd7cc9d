import torch

from htp_diffusion.base.device import precision_of


def test_precision_is_that_of_the_block_alone():
    x = torch.ones(2, 2)
    with precision_of("bf16", torch.device("cpu")):
        assert (x @ x).dtype == torch.bfloat16
    with precision_of("fp32", torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == "highest"
        assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32


def test_float32_products_are_afterwards_what_they_were_before():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with precision_of("fp32", torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
