"""Evaluation protocols: which windows of a clip are sampled, which frames count, and what the root is.

Sources: the public D3DP (main.py and main_3dhp.py, functions evaluate and eval_data_prepare) and the public
MotionBERT (train.py, evaluate; lib/utils/utils_data.py, split_clips).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.motionbert import MOTIONBERT_EXCLUDED
from htp_diffusion.data.labelled import ClipSet, LabelledClip
from htp_diffusion.data.motion import Tail, Windows, windows
from htp_diffusion.data.options import EVERY
from htp_diffusion.data.window_batches import check_limit, first_windows
from htp_diffusion.pose.layout import Layout

ProtocolName = Literal["every-frame", "d3dp", "motionbert", "paper"]

Root = Literal["as predicted", "at zero", "subtracted"]
"""What happens to the predicted root joint, which is 0 in truth: its error counts like any joint's; it is put
at 0; or the whole pose is moved until it is at 0."""

H36M_EXCLUDED = ("S9/Greeting", "S9/SittingDown 1", "S9/Waiting 1")
"""The trials that MotionBERT leaves out, ``MOTIONBERT_EXCLUDED``, by the names of data_3d_h36m.npz. Their 3D
poses are shifted."""


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How clips are scored.

    Attributes:
        name: On the command line.
        tail: What becomes of the frames that a clip's last two windows share.
        root: What becomes of the predicted root joint.
        excluded: Motions that are not scored.
        description: For people.
    """

    name: ProtocolName
    tail: Tail
    root: Root
    excluded: tuple[str, ...] = ()
    description: str


EVERY_FRAME = EvaluationProtocol(
    name="every-frame",
    tail="first",
    root="as predicted",
    description="consecutive windows, the last one aligned to the clip's end; every frame scored once, the "
    "predicted root like any joint",
)

_D3DP = EvaluationProtocol(
    name="d3dp",
    tail="both",
    root="at zero",
    description="D3DP's: consecutive windows, the last one aligned to the clip's end, all scored whole: the "
    "frames that the last two share count twice; the predicted root put at 0",
)

_D3DP_3DHP = replace(
    _D3DP,
    tail="last",
    description="D3DP's for MPI-INF-3DHP: consecutive windows, the last one aligned to the clip's end, its "
    "frames in place of those of the window before it; valid frames scored once, the predicted root put at 0",
)

_MOTIONBERT = EvaluationProtocol(
    name="motionbert",
    tail="dropped",
    root="subtracted",
    excluded=H36M_EXCLUDED + MOTIONBERT_EXCLUDED,
    description="MotionBERT's: whole windows only, so that the frames after the last of them do not count; "
    "predicted poses moved until their root is at 0; of Human3.6M, three trials of S9 left out",
)


def protocol_named(name: ProtocolName, found: ClipSet) -> EvaluationProtocol:
    """The protocol of a name for a data set.

    "paper" is D3DP's: the paper builds on D3DP, compares itself with D3DP's published figures and describes
    no other evaluation. D3DP scores Human3.6M window by window, and MPI-INF-3DHP by the data set's script, on
    windows joined to sequences.
    """
    if name == "every-frame":
        return EVERY_FRAME
    if name == "motionbert":
        return _MOTIONBERT
    return replace(_D3DP if found.pck_joints is None else _D3DP_3DHP, name=name)


def cut_clips(
    clips: Sequence[LabelledClip], num_frames: int, protocol: EvaluationProtocol, every: int = 1
) -> list[tuple[LabelledClip, Windows]]:
    """Cut clips into the windows that a protocol samples.

    Clips shorter than a window are padded by their last frame, and the padding is not scored. (D3DP pads
    alike but scores the padding; MotionBERT stretches such clips by repeating frames at random. The trials of
    Human3.6M are far longer.) Windows in which no frame counts are left out, and so are clips without any
    other.

    Args:
        clips: The clips.
        num_frames: T.
        protocol: How.
        every: Take every N-th window of each clip, from the first one on.

    Raises:
        BenchmarkError: Nothing is left to score, or ``every`` is below 1.
    """
    found = []
    for clip in clips:
        if clip.motion in protocol.excluded:
            continue
        taken = windows(clip.clip, num_frames, protocol.tail)
        if clip.valid is not None:
            frame = taken.start[:, None] + torch.arange(num_frames)
            valid = clip.valid[frame.clamp(max=len(clip.valid) - 1)]
            taken = replace(taken, scored=taken.scored & valid)
        taken = taken.every(every)
        taken = taken.take(taken.scored.any(dim=1))
        if len(taken.start):
            found.append((clip, taken))
    if not found:
        raise BenchmarkError(
            f"no frame to score: protocol {protocol.name} counts none of the {len(clips)} clips"
        )
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class CutSet:
    """Clips of a data set, cut into the windows that are sampled.

    Attributes:
        found: The data set.
        num_frames: T.
        protocol: Which windows, and which frames count.
        every: N, where every N-th window of each clip is there.
        clips: The clips that have windows.
        windows: Their windows.
    """

    found: ClipSet
    num_frames: int
    protocol: EvaluationProtocol
    every: int
    clips: tuple[LabelledClip, ...]
    windows: tuple[Windows, ...]

    @property
    def count(self) -> int:
        """Windows in all."""
        return sum(len(piece.start) for piece in self.windows)

    @property
    def padded(self) -> int:
        """Clips shorter than a window."""
        return sum(len(clip.clip.pose_2d) < self.num_frames for clip in self.clips)


def cut_set(
    found: ClipSet,
    num_frames: int,
    protocol: EvaluationProtocol = EVERY_FRAME,
    every: int = 1,
    max_windows: int | None = None,
) -> CutSet:
    """Cut a data set into the windows that are sampled; arguments and errors as ``cut_clips``.

    Args:
        found: The data set.
        num_frames: T.
        protocol: How.
        every: Take every N-th window of each clip, from the first one on.
        max_windows: Of these, take at most so many in all.
    """
    pairs = cut_clips(found.clips, num_frames, protocol, every)
    windows = first_windows([piece for _, piece in pairs], max_windows)
    return CutSet(
        found=found,
        num_frames=num_frames,
        protocol=protocol,
        every=every,
        clips=tuple(clip for clip, _ in pairs[: len(windows)]),
        windows=tuple(windows),
    )


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which clips and windows of a data set are scored, and by which protocol.

    Attributes:
        protocol: every-frame scores each frame once. d3dp and motionbert score as these projects do; paper is
            another name of d3dp.
        actions: Score these actions alone.
        max_windows: Take at most so many windows in all.
    """

    protocol: ProtocolName = "every-frame"
    actions: Annotated[tuple[str, ...], by_default("all", "ACTION")] = ()
    every: Annotated[int, EVERY] = 1
    max_windows: Annotated[int | None, by_default("all", "INT")] = None

    def check(self) -> None:
        """Check what can be checked without a data set.

        Raises:
            BenchmarkError: A number out of range.
        """
        at_least(self, 1, "every")
        check_limit(self.max_windows)

    def cut(self, found: ClipSet, num_frames: int) -> CutSet:
        """Cut what is scored of a data set into windows of so many frames. Raises as ``cut_clips``."""
        if self.actions:
            found = found.only(self.actions)
        return cut_set(found, num_frames, protocol_named(self.protocol, found), self.every, self.max_windows)


def place_root(
    poses: Float[Tensor, "*batch joints 3"], root: Root, layout: Layout
) -> Float[Tensor, "*batch joints 3"]:
    """Predicted poses with their root joint as a protocol has it."""
    if root == "as predicted":
        return poses
    if root == "subtracted":
        return poses - poses[..., layout.root : layout.root + 1, :]
    joint = torch.arange(layout.num_joints, device=poses.device) == layout.root
    return poses.masked_fill(joint[:, None], 0.0)
