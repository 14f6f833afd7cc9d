"""What the numbers of a pose mean: layout, unit and frame of reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import H36M_17, Layout
from htp_diffusion.pose.layouts import layout_named

UNITS = ("metre", "millimetre", "half image width")
FRAMES = ("camera, root-relative", "camera", "world", "image, root-relative")

_THOUSANDTHS = {"metre": "mm", "millimetre": "um", "half image width": "half widths/1000"}


@dataclass(frozen=True, kw_only=True)
class PoseSpace:
    """What a network, a checkpoint or a file says its 3D poses are.

    Attributes:
        layout: The order of the joints.
        unit: One of ``UNITS``. "half image width" is the unit of screen-normalised coordinates.
        frame: One of ``FRAMES``. "image, root-relative" is the joint's place in the image from the
            root's, and its depth from the root's in the same scale.

    Raises:
        BenchmarkError: Another unit or frame of reference.
    """

    layout: Layout
    unit: str
    frame: str

    def __post_init__(self):
        for what, value, known in (("unit", self.unit, UNITS), ("frame of reference", self.frame, FRAMES)):
            if value not in known:
                raise BenchmarkError(f"no {what} {value!r}; there are: {'; '.join(known)}")

    @property
    def error_unit(self) -> str:
        """What a thousandth of the unit is called, in which losses and errors are told: mm for metres."""
        return _THOUSANDTHS[self.unit]

    def require(self, other: "PoseSpace", what: str) -> None:
        """Refuse poses of another space.

        Args:
            other: The space of the poses at hand.
            what: Where they come from, told in the error.

        Raises:
            BenchmarkError: The two differ; the message names each difference.
        """
        pairs = {
            "layout": (other.layout.name, self.layout.name, other.layout == self.layout),
            "unit": (other.unit, self.unit, other.unit == self.unit),
            "frame of reference": (other.frame, self.frame, other.frame == self.frame),
        }
        wrong = [
            f"{name} {got}, expected {expected}" for name, (got, expected, same) in pairs.items() if not same
        ]
        if wrong:
            raise BenchmarkError(f"{what}: {'; '.join(wrong)}")

    def to_json(self) -> dict[str, str]:
        """The space as plain text, for a checkpoint's metadata."""
        return {"layout": self.layout.name, "unit": self.unit, "frame": self.frame}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], what: str) -> "PoseSpace":
        """The space that ``to_json`` wrote.

        Args:
            fields: The fields.
            what: Where they come from, told in the error.

        Raises:
            BenchmarkError: A field is missing or unknown.
        """
        missing = [name for name in ("layout", "unit", "frame") if name not in fields]
        if missing:
            raise BenchmarkError(f"{what} does not state the {' and the '.join(missing)} of its poses")
        return cls(
            layout=layout_named(str(fields["layout"])), unit=str(fields["unit"]), frame=str(fields["frame"])
        )


CAMERA_METRES = PoseSpace(layout=H36M_17, unit="metre", frame="camera, root-relative")
"""What every ``Clip`` of Human3.6M and CMU motion holds."""

MOTIONBERT_IMAGE = PoseSpace(layout=H36M_17, unit="half image width", frame="image, root-relative")
"""What a ``Clip`` of MotionBERT's file holds: the poses that MotionBERT predicts, relative to the root."""
