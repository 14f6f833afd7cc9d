"""The state of a run as named tensors, which is what a checkpoint's file holds, and back."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from htp_diffusion.models.weights import as_part_of_a_run, weights_in


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def run_state(
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
) -> dict[str, Tensor]:
    """All that a later process needs to go on where this one is."""
    tensors = as_part_of_a_run("last", model.state_dict())
    tensors |= as_part_of_a_run("averaged", average.module.state_dict())
    tensors["ema_steps"] = average.n_averaged
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    if scaler is not None:
        scale = scaler.state_dict()
        tensors["scaler"] = torch.tensor([scale["scale"], scale["_growth_tracker"]], dtype=torch.float64)
    return tensors


def restore_run(
    tensors: dict[str, Tensor],
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
) -> None:
    """Take up the state that :func:`run_state` gave."""
    model.load_state_dict(weights_in(tensors, "last"))
    average.module.load_state_dict(weights_in(tensors, "averaged"))
    average.n_averaged.copy_(tensors["ema_steps"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in under(tensors, "optimizer.").items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    if scaler is not None and "scaler" in tensors:  # a run that began in another precision has none
        scale, tracker = tensors["scaler"].tolist()
        scaler.load_state_dict(scaler.state_dict() | {"scale": scale, "_growth_tracker": int(tracker)})
