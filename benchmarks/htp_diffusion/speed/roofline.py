"""Roofline: how fast a device multiplies matrices and copies memory, measured as the models are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from adapters.clock import interleaved
from htp_diffusion.base.device import Precision, matmul_dtype, precision_of
from htp_diffusion.base.errors import BenchmarkError

SQUARES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
"""Sizes of the square products tried, by kind of device: from small enough to large enough."""

_COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}  # well beyond any cache
_CALLS = {"cpu": 1, "cuda": 20}  # between two looks at the clock: a GPU's queue is full, as in a model


@dataclass(frozen=True, kw_only=True)
class MatmulRate:
    """Speed of one product of a (rows, inner) by an (inner, columns) matrix.

    Attributes:
        rows, inner, columns: Its size.
        flops: Floating-point operations a second: two a multiply-accumulate.
    """

    rows: int
    inner: int
    columns: int
    flops: float


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """What the device can do at most, in one precision.

    Attributes:
        square: The fastest of the square products.
        own: A product of the models' own shape: all tokens of a batch by the weights of an attention layer's
            queries, keys and values.
        copied: Bytes a second read and written by a copy.
    """

    square: MatmulRate
    own: MatmulRate
    copied: float


def measure_roofline(
    device: torch.device,
    precision: Precision,
    *,
    tokens: int,
    dim: int,
    squares: Sequence[int],
    repeats: int = 5,
    copied_bytes: int | None = None,
    together: Callable[[], None] = lambda: None,
) -> Roofline:
    """Time square products, one of the models' shape, and a copy; the fastest of the repeats counts.

    Args:
        device: Where.
        precision: Of the products.
        tokens: Tokens of a batch.
        dim: D, their channels.
        squares: Sizes of the square products.
        repeats: Timed rounds of each.
        copied_bytes: Size of the copy; by default one that fits in no cache.
        together: Called before each clock starts, to wait for other processes that measure the same.

    Raises:
        BenchmarkError: No size, one below 1, or a precision that the device does not have.
    """
    if not squares or min(squares) < 1:
        raise BenchmarkError(f"matmul sizes expect at least one, none below 1, got {list(squares)}")
    shapes = [*((size, size, size) for size in squares), (tokens, dim, 3 * dim)]
    with torch.inference_mode(), precision_of(precision, device):
        rates = [_matmul_rate(shape, precision, device, repeats, together) for shape in shapes]
    size = copied_bytes or _COPIED_BYTES[device.type]
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    seconds = _fastest(partial(torch.empty_like(source).copy_, source), device, repeats, together)
    return Roofline(
        square=max(rates[:-1], key=lambda rate: rate.flops), own=rates[-1], copied=2 * size / seconds
    )


def _matmul_rate(
    shape: tuple[int, int, int],
    precision: Precision,
    device: torch.device,
    repeats: int,
    together: Callable[[], None],
) -> MatmulRate:
    rows, inner, columns = shape
    generator = torch.Generator(device).manual_seed(0)

    def random(*sizes: int) -> torch.Tensor:
        return torch.randn(*sizes, generator=generator, device=device).to(matmul_dtype(precision))

    left, right = random(rows, inner), random(columns, inner)
    # By the transpose, as a linear layer multiplies.
    multiply = partial(torch.nn.functional.linear, left, right)
    seconds = _fastest(multiply, device, repeats, together)
    return MatmulRate(rows=rows, inner=inner, columns=columns, flops=2 * rows * inner * columns / seconds)


def _fastest(
    call: Callable[[], object], device: torch.device, repeats: int, together: Callable[[], None]
) -> float:
    calls = _CALLS[device.type]

    def run() -> None:
        for _ in range(calls):
            call()

    timing = interleaved({"": run}, repeats=repeats, warmup=1, device=device, together=together)[""]
    fastest = min(timing.samples) / calls
    if not fastest > 0:
        raise BenchmarkError("matmul sizes expect products long enough for the clock, got too small ones")
    return fastest
