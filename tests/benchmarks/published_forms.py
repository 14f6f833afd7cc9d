"""Checkpoints with random weights, in the forms that the authors of networks save."""

import torch


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
