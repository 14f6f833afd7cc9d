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
