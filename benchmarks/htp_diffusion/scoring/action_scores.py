"""Scores of a set of clips: action by action, over actions, over frames and over clips."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.scoring.clip_scores import ClipScore, Errors, mean_errors


@dataclass(frozen=True, kw_only=True)
class ActionScore:
    """The clips of one action.

    Attributes:
        action: Its name.
        clips: Clips that were scored.
        frames: Frames that were scored; one that counts twice is two.
        errors: Mean errors over these frames, by way of aggregation.
    """

    action: str
    clips: int
    frames: int
    errors: dict[str, Errors]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All clips.

    Attributes:
        over_frames: Mean over every scored frame, by way of aggregation; the velocity error over every step
            from one to the next.
        over_clips: Mean over clips, each counting the same.
        clips: Each clip.
        actions: Each action; empty where actions have no names.
        over_actions: Mean over actions, each counting the same: the field's average; empty likewise.
    """

    over_frames: dict[str, Errors]
    over_clips: dict[str, Errors]
    clips: list[ClipScore]
    actions: list[ActionScore] = field(default_factory=list, metadata=ADDED_LATER)
    over_actions: dict[str, Errors] = field(default_factory=dict, metadata=ADDED_LATER)


def mean_scores(clips: Sequence[ClipScore], actions: Sequence[str] = ()) -> Scores:
    """Put clips together.

    Args:
        clips: Each clip.
        actions: The actions in the order of tables; those that no clip shows are left out.
    """
    shown = {action: [clip for clip in clips if clip.action == action] for action in actions}
    scores = [
        ActionScore(
            action=action,
            clips=len(found),
            frames=sum(clip.frames for clip in found),
            errors=_over_frames(found),
        )
        for action, found in shown.items()
        if found
    ]
    return Scores(
        over_frames=_over_frames(clips),
        over_clips=mean_errors([(clip.errors, 1, 1) for clip in clips]),
        clips=list(clips),
        actions=scores,
        over_actions=mean_errors([(score.errors, 1, 1) for score in scores]) if scores else {},
    )


def _over_frames(clips: Sequence[ClipScore]) -> dict[str, Errors]:
    return mean_errors(
        [(clip.errors, clip.frames, clip.frames - 1 if clip.steps is None else clip.steps) for clip in clips]
    )
