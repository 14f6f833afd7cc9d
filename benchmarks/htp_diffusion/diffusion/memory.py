"""How many sequences a denoiser can take at once."""

from htp_diffusion.base.errors import BenchmarkError


def sequence_bytes(num_frames: int, num_joints: int, dim: int, bytes_per_element: int = 4) -> int:
    """Estimate the working memory that a denoiser needs for one sequence at inference, weights left out.

    Two terms: the tokens alive at once in a transformer block, taken as sixteen arrays of (frames, joints,
    dim) (on a CPU, a further sequence of 81 or 243 frames raised the resident memory of the D3DP and HTP
    denoisers of width 512 by 14 to 16); and HTP's selection, three float32 arrays and a mask of (joints,
    frames, frames).

    Args:
        num_frames: Frames T of a sequence.
        num_joints: Joints J.
        dim: Width D of a token.
        bytes_per_element: 4 in float32, 2 in half precision.
    """
    tokens = 16 * num_frames * num_joints * dim * bytes_per_element
    selection = (3 * 4 + 1) * num_joints * num_frames**2
    return tokens + selection


def max_batch_within(memory_budget: int, bytes_per_sequence: int) -> int:
    """Most sequences that one call of the denoiser may hold within a memory budget; at least one.

    Args:
        memory_budget: Bytes for the activations of one call.
        bytes_per_sequence: Bytes that one sequence needs, as from `sequence_bytes`.

    Raises:
        BenchmarkError: Either figure is not positive.
    """
    if memory_budget < 1 or bytes_per_sequence < 1:
        raise BenchmarkError(
            f"expected a memory budget and a size above 0 bytes, got {memory_budget} and {bytes_per_sequence}"
        )
    return max(1, memory_budget // bytes_per_sequence)
