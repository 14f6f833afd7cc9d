"""Errors of the adapters."""

from adapters.words import printable
from htp_modules import HTPError


class PatchError(HTPError, RuntimeError):
    """A model cannot be patched or unpatched in the state that it is in."""


class UnrecognisedHostError(HTPError, TypeError):
    """A model is none of the hosts that can be patched, or only half of one.

    Attributes:
        missing: What was looked for and not found, one entry each.
        likeness: Share of what was looked for that was found.
    """

    def __init__(self, message: str, missing: tuple[str, ...] = (), likeness: float = 0.0) -> None:
        super().__init__(message)
        self.missing = missing
        self.likeness = likeness


class CheckpointError(HTPError, ValueError):
    """A checkpoint cannot be read, holds more than weights, or does not fit the model.

    Args:
        message: One line; what a file says in it cannot steer a terminal.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class MeasurementError(HTPError, ValueError):
    """Clips, settings, times or outputs that cannot be measured, compared or drawn."""
