"""Execution: a model run as it is, compiled whole or by parts, or replayed from a CUDA graph."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from adapters import is_patched
from htp_diffusion.base.errors import BenchmarkError

Mode = Literal["eager", "compiled", "cuda-graph"]
Capture = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]

# An expression that reads more tensors than this is stored and not recomputed at each use. With Inductor's
# default, 4, every head of a masked layer recomputes the mask.
_MOST_READS = 1
_MOST_SHAPES = 64  # that a model or a part may be compiled for
_WARMUP_CALLS = 3  # before a capture: libraries choose their kernels and take their workspaces


class StaticCall:
    """A function captured once on buffers of its own; a call copies new inputs there and replays it.

    Args:
        function: What to capture.
        inputs: An example of its inputs: later ones have the same shapes.
        capture: Runs a function without arguments and returns how to run it again, and the tensor that holds
            its result after each run.
    """

    def __init__(self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...], capture: Capture) -> None:
        self._buffers = tuple(part.clone() for part in inputs)
        self._replay, self._result = capture(lambda: function(*self._buffers))

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result, as a copy that the next call does not overwrite."""
        for buffer, part in zip(self._buffers, inputs, strict=True):
            buffer.copy_(part)
        self._replay()
        return self._result.clone()


class Replayed:
    """A function captured once for each combination of shapes that it is called with.

    Args:
        function: What to capture.
        capture: How; see :class:`StaticCall`.
    """

    def __init__(self, function: Callable[..., Tensor], capture: Capture) -> None:
        self._function, self._capture = function, capture
        self._calls: dict[tuple[torch.Size, ...], StaticCall] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result."""
        shapes = tuple(part.shape for part in inputs)
        if shapes not in self._calls:
            self._calls[shapes] = StaticCall(self._function, inputs, self._capture)
        return self._calls[shapes](*inputs)


@contextmanager
def _settings_for_a_cpu() -> Iterator[None]:
    """Inductor settings: freeze weights, which are then packed for oneDNN; do not recompute masks per head.

    By default Inductor packs float32 weights for MKL, which is slower and does not fuse GELU. It packs them
    for oneDNN if TF32 is allowed, so TF32 is allowed while compiling, and not when the graph runs: results
    are float32.
    """
    from torch._inductor import config  # a second of imports, for this alone

    matmul = getattr(torch.backends.mkldnn, "matmul", None)  # from PyTorch 2.9 on
    before = getattr(matmul, "fp32_precision", None)
    with config.patch(freezing=True, realize_reads_threshold=_MOST_READS):
        try:
            if before is not None:
                matmul.fp32_precision = "tf32"  # pyright: ignore[reportOptionalMemberAccess]
            yield
        finally:
            if before is not None:
                matmul.fp32_precision = before  # pyright: ignore[reportOptionalMemberAccess]


class Compiled:
    """A function compiled once for each combination of shapes that it is called with.

    Args:
        function: What to compile.
        whole: As one graph or not at all; else in as many as it takes.
    """

    def __init__(self, function: Callable[..., Tensor], *, whole: bool = True) -> None:
        self._function = torch.compile(function, dynamic=False, fullgraph=whole)
        self._shapes: set[tuple[torch.Size, ...]] = set()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result.

        Raises:
            BenchmarkError: There is no compiler here, or what is called cannot be compiled.
        """
        shapes = tuple(part.shape for part in inputs)
        if shapes in self._shapes:
            return self._function(*inputs)
        settings = _settings_for_a_cpu() if inputs[0].device.type == "cpu" else nullcontext()
        with _told_in_one_line(), _traced_anew(), _for_many_shapes(), settings:
            result = self._function(*inputs)
        self._shapes.add(shapes)
        return result


def _for_many_shapes() -> AbstractContextManager[None]:
    from torch._dynamo import config  # a second of imports, for this alone

    return config.patch(recompile_limit=_MOST_SHAPES)


def _traced_anew() -> AbstractContextManager[None]:
    """No graphs from the disk: PyTorch before 2.13 takes one of bfloat16 there for one of float16."""
    from torch._functorch import config  # a second of imports, for this alone

    return config.patch(enable_autograd_cache=False)


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    from torch._dynamo.exc import TorchDynamoException  # a second of imports, for this alone

    try:
        yield
    except TorchDynamoException as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchmarkError(f"the models cannot be compiled here ({reason}); run them eager") from error


class CompiledParts:
    """A model whose parts are compiled, each once for all blocks that run its code on its shapes.

    For a GPU, where a graph of sixteen blocks takes minutes to compile and one of a block seconds, and where
    little is to be gained across blocks.

    Args:
        model: It runs as before outside of a call.
        parts: Methods of modules, as module and name, that compute from tensors alone.
        backend: Of ``torch.compile``.
    """

    def __init__(
        self, model: nn.Module, parts: Sequence[tuple[nn.Module, str]], backend: str = "inductor"
    ) -> None:
        self._model = model
        self._parts = [
            (
                module,
                name,
                torch.compile(getattr(module, name), dynamic=False, fullgraph=True, backend=backend),
            )
            for module, name in parts
        ]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The model's result.

        Raises:
            BenchmarkError: There is no compiler here, or a part cannot be compiled.
        """
        with self.in_place():
            return self._model(*inputs)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block, the model itself runs compiled, whoever calls it.

        Raises:
            BenchmarkError: As for a call.
        """
        for module, name, compiled in self._parts:
            vars(module)[name] = compiled
        try:
            with _told_in_one_line(), _traced_anew(), _for_many_shapes(), warnings.catch_warnings():
                # The compiler looks for gradients in activations, too, while a model is trained.
                warnings.filterwarnings(
                    "ignore", message=r"The \.grad attribute of a Tensor that is not a leaf"
                )
                yield
        finally:
            for module, name, _ in self._parts:
                del vars(module)[name]


def capture_cuda(function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture a function's kernels as a CUDA graph.

    Raises:
        BenchmarkError: It waits for the device or allocates in a way that a graph cannot hold.
    """
    # A weight that autocast has cast and keeps lies outside the graph's memory and may be freed before it.
    cached = torch.is_autocast_cache_enabled()
    torch.clear_autocast_cache()
    torch.set_autocast_cache_enabled(False)
    try:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARMUP_CALLS):
                function()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = function()
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise BenchmarkError(f"a CUDA graph cannot hold this model ({reason}); run it eager") from error
    finally:
        torch.set_autocast_cache_enabled(cached)
    return graph.replay, result


def check_mode(mode: Mode, device: torch.device) -> None:
    """Check that a mode exists on a device.

    Raises:
        BenchmarkError: A CUDA graph elsewhere than on CUDA.
    """
    if mode == "cuda-graph" and device.type != "cuda":
        raise BenchmarkError(f"mode cuda-graph needs a CUDA device, got {device}; use eager or compiled")


def prepare_model(
    model: nn.Module, mode: Mode, device: torch.device, *, whole: bool = True
) -> Callable[..., Tensor]:
    """A model ready to be called in a mode; nothing is compiled or captured before the first call.

    Args:
        model: The model.
        mode: How to run it.
        device: Where it is.
        whole: Compile it as one graph or not at all; else in as many as it takes.

    Raises:
        BenchmarkError: As :func:`check_mode`.
    """
    check_mode(mode, device)
    if mode == "compiled":
        # The forward of a patched model is its adapter's, which calls no part of the model's own class.
        parts: Sequence[tuple[nn.Module, str]] = (
            [] if is_patched(model) else getattr(model, "compiled_parts", list)()
        )
        return (
            CompiledParts(model, parts) if parts and device.type == "cuda" else Compiled(model, whole=whole)
        )
    return Replayed(model, capture_cuda) if mode == "cuda-graph" else model
