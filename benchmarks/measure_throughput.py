"""Time of one denoiser pass: D3DP, HTP with n=1 and n=3, and the public D3DP, in turn in one process."""

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor, nn

from htp_diffusion.command import run_command
from htp_diffusion.device import Precision, choose_device, computing_in, device_name
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.pose.skeleton import H36M17
from htp_diffusion.report.counting import count_denoiser
from htp_diffusion.report.measure import interleaved, peak_memory, speed_up
from htp_diffusion.report.provenance import provenance
from htp_diffusion.report.schema import write_json
from htp_diffusion.report.tables import show
from htp_diffusion.report.throughput import BASELINE, PUBLIC, PassResult, ThroughputResult, throughput_table
from htp_diffusion.upstream import load_public
from htp_modules import HTPConfig

_SFT_LAYERS = (1, 3)  # at inference and in training (paper, Table VIII)
_CHECKED_FRAMES = 27  # of the check of the attention paths, which float64 makes slow
_TOLERANCE = 1e-9  # of the largest output, in float64
_PUBLIC_TOLERANCE = 1e-4  # in float32, in which the public code computes its timestep embedding
_GIGA = 1e9


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time one pass of the denoisers (random weights): D3DP, HTP with n=1 and HTP with n=3, in turn.

    Checks first that the fused attention and the written-out one agree. Prints one table.

    Attributes:
        frames: T, frames of a sequence; HTP keeps two ninths of them.
        dim: D, channels of a token.
        depth: Pairs of a spatial and a temporal block, at least 4.
        heads: Attention heads.
        batch: Sequences in a pass.
        precision: fp32, tf32 (CUDA) or bf16 (autocast).
        device: auto (CUDA where there is a device), cpu, cuda or cuda:N.
        threads: CPU threads of an operation.
        repeats: Timed rounds; a round runs every model once.
        warmup: Rounds before them, not timed.
        public: Folder of checkouts called owner+name; the D3DP denoiser of paTRICK-swk+D3DP joins in.
        json: Write the result as JSON here, too.
    """

    frames: int = 243
    dim: int = 512
    depth: int = 8
    heads: int = 8
    batch: int = 1
    precision: Precision = "fp32"
    device: str = "cpu"
    threads: Annotated[
        int | None, tyro.conf.arg(help_behavior_hint="(default: PyTorch's)", metavar="INT")
    ] = None
    repeats: int = 7
    warmup: int = 1
    public: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: none)", metavar="FOLDER")] = (
        None
    )
    json: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: none)", metavar="FILE")] = None


def denoiser_configs(options: Options) -> dict[str, DenoiserConfig]:
    """The models by name, the baseline first."""
    baseline = DenoiserConfig(
        kind="d3dp",
        num_frames=options.frames,
        dim=options.dim,
        depth=options.depth,
        num_heads=options.heads,
    )
    return {BASELINE: baseline} | {
        f"HTP n={layers}": replace(baseline, kind="htp", htp=HTPConfig(num_sft_layers=layers))
        for layers in _SFT_LAYERS
    }


def random_inputs(batch: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """2D poses, noisy 3D poses and a timestep for each sequence: the same at every call."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, frames, H36M17.num_joints)
    pose_2d = torch.rand(*shape, 2, generator=generator) * 2 - 1
    noisy = torch.randn(*shape, 3, generator=generator)
    return pose_2d, noisy, torch.randint(1000, (batch,), generator=generator)


@torch.no_grad()
def fused_difference(model: nn.Module, device: torch.device, frames: int) -> float:
    """How far the fused attention is from the written-out one, as a share of the largest output.

    In float64, on a short sequence: in float32, rounding may tip the selection of frames, and the outputs
    then differ for a good reason.

    Raises:
        BenchmarkError: They disagree, so that a time would be that of a wrong result.
    """
    fused = copy.deepcopy(model).to(device, torch.float64).eval()
    written_out = copy.deepcopy(fused)
    for module in written_out.modules():
        if isinstance(getattr(module, "fused", None), bool):
            module.fused = False  # pyright: ignore[reportArgumentType]
    pose_2d, noisy, timestep = (part.to(device) for part in random_inputs(1, min(frames, _CHECKED_FRAMES)))
    inputs = (pose_2d.double(), noisy.double(), timestep)
    expected = written_out(*inputs)
    difference = float((fused(*inputs) - expected).abs().max() / expected.abs().max())
    if not difference <= _TOLERANCE:
        raise BenchmarkError(
            f"fused and written-out attention of {type(model).__name__} differ by {difference:.1e} of the "
            f"largest output, expected at most {_TOLERANCE:.0e}: nothing is timed"
        )
    return difference


def public_denoiser(folder: Path, options: Options, ours: nn.Module) -> nn.Module:
    """The public D3DP code's denoiser, of the sizes asked for and with the weights of ours.

    Raises:
        BenchmarkError: No checkout, one that does not import, or outputs that differ from ours.
    """
    public = load_public(folder, "D3DP").MixSTE2(
        num_frame=options.frames,
        num_joints=H36M17.num_joints,
        in_chans=2,
        embed_dim_ratio=options.dim,
        depth=options.depth,
        num_heads=options.heads,
        mlp_ratio=2.0,
        qkv_bias=True,
        drop_path_rate=0.0,
        is_train=True,
    )
    public.load_state_dict(ours.state_dict())
    inputs = random_inputs(1, options.frames)
    with torch.inference_mode():
        expected = copy.deepcopy(ours).cpu()(*inputs)
        difference = float((public.eval()(*inputs) - expected).abs().max() / expected.abs().max())
    if not difference <= _PUBLIC_TOLERANCE:
        raise BenchmarkError(
            f"the public D3DP and ours, with the same weights, differ by {difference:.1e} of the largest "
            f"output, expected at most {_PUBLIC_TOLERANCE:.0e}: nothing is timed"
        )
    return public


def measure(options: Options) -> ThroughputResult:
    """Build, check, warm up and time the models.

    Raises:
        BenchmarkError: A device or size that cannot be had, or outputs that disagree.
    """
    device = choose_device(options.device)
    for name in ("frames", "batch", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BenchmarkError(f"{name} expects at least 1, got {value}")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    configs = denoiser_configs(options)
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {
        name: config.build().eval().to(device) for name, config in configs.items()
    }
    differences = {name: fused_difference(model, device, options.frames) for name, model in models.items()}
    gmacs = {
        name: count_denoiser(config.build, options.frames).true_macs * options.batch / _GIGA
        for name, config in configs.items()
    }
    if options.public is not None:
        models[PUBLIC] = public_denoiser(options.public, options, models[BASELINE]).to(device)
        gmacs[PUBLIC] = gmacs[BASELINE]
    inputs = tuple(part.to(device) for part in random_inputs(options.batch, options.frames))
    cases = {name: partial(model, *inputs) for name, model in models.items()}
    with torch.inference_mode(), computing_in(options.precision, device):
        peaks = {name: peak_memory(case, device) for name, case in cases.items()}
        timings = interleaved(cases, repeats=options.repeats, warmup=options.warmup, device=device)
    return ThroughputResult(
        frames=options.frames,
        dim=options.dim,
        depth=options.depth,
        heads=options.heads,
        batch=options.batch,
        device=device_name(device),
        precision=options.precision,
        models=[
            PassResult(
                model=name,
                seconds=list(timing.samples),
                median=timing.median,
                iqr=timing.iqr,
                speed_up=speed_up(timings[BASELINE], timing),
                true_gmacs=gmacs[name],
                peak_memory=peaks[name],
                fused_difference=differences.get(name),
            )
            for name, timing in timings.items()
        ],
        provenance=provenance(),
    )


def main(options: Options) -> None:
    """Measure, print, write."""
    result = measure(options)
    show(throughput_table(result))
    if options.json is not None:
        write_json(options.json, result)
        print(f"written: {options.json}")


if __name__ == "__main__":
    run_command(main, Options)
