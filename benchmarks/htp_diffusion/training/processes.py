"""How a run starts in one process or several, on whatever device there is."""

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import KwargsHandler

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.config import DenoiserConfig


def start_accelerator(denoiser: DenoiserConfig, precision: str, cpu: bool) -> Accelerator:
    """Join the processes that ``accelerate launch`` or ``torchrun`` has started, if one of them has.

    Args:
        denoiser: What will be trained.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"``.
        cpu: Stay on the CPU though there is an accelerator.

    Raises:
        BenchmarkError: A precision that the device does not have.
    """
    # Without a device of its own, each process would take itself for the only one unless told to be on a CPU.
    cpu = cpu or not getattr(torch, "accelerator", torch.cuda).is_available()
    if precision == "fp16" and cpu:  # accelerate would go on in float32 without a word
        raise BenchmarkError("precision fp16 needs a GPU; use fp32 or bf16")
    # Where nothing is pruned, nothing is recovered, and the recovery's weights get no gradient.
    whole = denoiser.htp is not None and denoiser.htp.frames_kept(denoiser.num_frames) >= (
        denoiser.num_frames
    )
    handlers: list[KwargsHandler] = [DistributedDataParallelKwargs(find_unused_parameters=whole)]
    try:
        return Accelerator(mixed_precision=precision, cpu=cpu, kwargs_handlers=handlers)
    except ValueError as error:
        raise BenchmarkError(f"precision {precision} cannot be had here: {error}") from error


def parts_of_a_step(batch_size: int, processes: int, accumulate: int) -> int:
    """In how many equal parts a batch is computed: so many processes times so many micro-batches each.

    Raises:
        BenchmarkError: The batch cannot be cut so.
    """
    if accumulate < 1:
        raise BenchmarkError(f"accumulate expects at least 1 micro-batch, got {accumulate}")
    parts = processes * accumulate
    if batch_size % parts:
        raise BenchmarkError(
            f"a batch of {batch_size} windows cannot be shared evenly by {processes} "
            f"process{'' if processes == 1 else 'es'} with {accumulate} "
            f"micro-batch{'' if accumulate == 1 else 'es'} each: take a multiple of {parts}"
        )
    return parts
