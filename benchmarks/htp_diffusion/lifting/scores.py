"""Scores: how far models' poses of a video lie from a reference, as a file and as tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.lifting.reference import SOUND_WITHIN, Score


@dataclass(frozen=True, kw_only=True)
class VideoScores:
    """What one video's reference says of models.

    Attributes:
        source: The detections' file or folder.
        camera: The video's number among the reference's cameras, from 1; None if nobody told.
        views: Cameras from which the reference was triangulated anew; 0 where it is as given.
        sampling: H, K, eta and flip.
        scores: One a model.
        provenance: Code, machine, versions and command.
    """

    source: str
    camera: int | None
    views: int
    sampling: str
    scores: list[Score]
    provenance: Provenance


def score_table(scores: Sequence[Score]) -> Table:
    """One row a model."""
    return Table(
        title="Distance from the reference, mm",
        columns=(
            Column("model"),
            Column("frames", "d"),
            Column("P-MPJPE, 17 joints", ".1f"),
            Column("12 limb joints", ".1f"),
            Column("MPJPE", ".1f"),
            Column("sound frames", "d"),
            Column("P-MPJPE, sound frames", ".1f"),
            Column("12 limb joints, sound frames", ".1f"),
            Column("MPJPE there", ".1f"),
        ),
        rows=tuple(tuple(vars(one).values()) for one in scores),
        notes=(
            "P-MPJPE: after the rotation, scale and place that fit best, frame by frame",
            f"sound: no bone of the reference differs from its median length by over {SOUND_WITHIN:.0%}",
        ),
    )


def cameras_table(runs: Sequence[VideoScores]) -> Table:
    """One row a model and camera, P-MPJPE against both references of a video.

    Args:
        runs: Of each camera one against the reference triangulated anew and one against it as given, with
            the same models.
    """
    anew, given = (
        {(score.name, run.camera): score for run in runs if bool(run.views) is views for score in run.scores}
        for views in (True, False)
    )
    frames = "/".join(str(count) for count in sorted({score.frames for score in anew.values()}))
    sound = "/".join(str(count) for count in sorted({score.sound_frames for score in given.values()}))

    def row(name: str, camera: int | None) -> tuple[Cell, ...]:
        against = given[name, camera]
        return name, camera, anew[name, camera].p_mpjpe, against.p_mpjpe, against.sound_p_mpjpe

    return Table(
        title=f"Real video, {runs[0].sampling}: P-MPJPE, mm",
        columns=(
            Column("model"),
            Column("camera", "d"),
            Column("triangulated anew", ".1f", "measured"),
            Column("as given", ".1f", "measured"),
            Column("as given, sound frames", ".1f", "measured"),
        ),
        rows=tuple(row(name, camera) for name, camera in anew),
        notes=(
            f"{frames} frames, of which the reference as given is sound in {sound}; 17 joints, mean of the "
            "hypotheses.",
        ),
    )
