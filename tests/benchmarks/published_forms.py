"""Checkpoints with random weights, in the forms that the authors of networks save."""

import torch
from torch.testing import assert_close

import adapters
from htp_diffusion.models.contender import Pruning


def shaken(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def saved(path, network, model):
    """As its authors save it: DataParallel's prefix, a sampler around D3DP, an optimizer beside."""
    sampler = model in ("d3dp", "finepose")
    front = "module.pose_estimator." if sampler else "module."
    state = {front + name: value for name, value in network.state_dict().items()}
    if sampler:
        names = (
            "betas",
            "alphas_cumprod_prev",
            "sqrt_recipm1_alphas_cumprod",
            "posterior_log_variance_clipped",
        )
        names += ("log_one_minus_alphas_cumprod", "sqrt_one_minus_alphas_cumprod", "posterior_mean_coef2")
        state |= {f"module.{name}": torch.rand(1000, dtype=torch.float64) for name in names}
    optimizer = {"state": {0: {"exp_avg": torch.randn(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    torch.save({"epoch": 7, "lr": 4e-5, "optimizer": optimizer, "model_pos": state, "min_loss": 1e5}, path)
    return path


def assert_pruned_without_training(weights, poses_of):
    """Patched, they compute the same where everything is kept, and else something else."""
    plain, pruned = weights.contenders(Pruning(num_keep=1.0, num_neighbors=1.0, num_sft_layers=1))
    assert_close(poses_of(pruned), poses_of(plain), rtol=1e-4, atol=1e-5)  # it keeps and sees everything
    _, pruned = weights.contenders(Pruning(num_keep=3, num_sft_layers=1))
    assert not torch.allclose(poses_of(pruned), poses_of(plain), atol=1e-4)
    assert pruned.name == f"{plain.name}, pruned"
    htp = adapters.htp_of(pruned.denoiser).config
    assert htp == pruned.config.htp
    assert (htp.num_keep, htp.recovery, htp.spatial_gcn) == (3, "interpolate", False)
    # What is counted is built anew from the config, on no device.
    with torch.device("meta"):
        again = pruned.config.build().state_dict()
    assert {name: x.shape for name, x in again.items()} == {
        name: x.shape for name, x in pruned.denoiser.state_dict().items()
    }
