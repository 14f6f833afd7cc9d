"""Clips with what tables group them by: subject and action."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Bool
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Clip
from htp_diffusion.pose.space import PoseSpace


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledClip:
    """A clip and its labels.

    Attributes:
        clip: The clip; its name is "motion@camera".
        subject: Who moves.
        action: What the subject does, as tables name it.
        valid: Frames that may be scored; None for all.
    """

    clip: Clip
    subject: str
    action: str
    valid: Bool[Tensor, " frames"] | None = None

    @property
    def motion(self) -> str:
        """The name of the recording, whatever camera saw it."""
        return self.clip.name.partition("@")[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipSet:
    """Clips of one data set.

    Attributes:
        description: What they are, for people.
        camera: Whose cameras see the motion, for people.
        space: What the numbers of the 3D poses mean.
        actions: The clips' actions, in the order of tables.
        clips: The clips.
        pck_joints: Joints of PCK and AUC; None where the data set has no such metric.
        notes: What else a reader of its tables has to know.
    """

    description: str
    camera: str
    space: PoseSpace
    actions: tuple[str, ...]
    clips: tuple[LabelledClip, ...]
    pck_joints: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    def only(self, actions: Sequence[str]) -> "ClipSet":
        """The clips of some actions.

        Raises:
            BenchmarkError: An action that no clip shows.
        """
        unknown = [action for action in actions if action not in self.actions]
        if unknown:
            raise BenchmarkError(
                f"no action {', '.join(unknown)} in {self.description}; there are {', '.join(self.actions)}"
            )
        return replace(
            self,
            actions=tuple(action for action in self.actions if action in actions),
            clips=tuple(clip for clip in self.clips if clip.action in actions),
        )
