"""From the options of a command line to labelled clips: where every script gets its motion."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, cast

from htp_diffusion.base.command import by_default
from htp_diffusion.base.errors import DATA_PAGE, BenchmarkError
from htp_diffusion.data.formats.h36m import H36M_ACTIONS, H36M_TEST, H36M_TRAIN, read_h36m
from htp_diffusion.data.formats.motionbert import read_motionbert
from htp_diffusion.data.formats.motionbert_windows import read_motionbert_windows
from htp_diffusion.data.formats.mpi_inf_3dhp import MPIClip, read_mpi_mat, read_mpi_test, read_mpi_train
from htp_diffusion.data.formats.npz import read_npz
from htp_diffusion.data.formats.units import Unit
from htp_diffusion.data.labelled import ClipSet, LabelledClip
from htp_diffusion.data.mocap.cmu import CMU_FPS, cmu_action, cmu_split
from htp_diffusion.data.motion import Clip, Motion
from htp_diffusion.data.options import FPS, UNIT
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import check_fps, embedded_set, file_set
from htp_diffusion.pose.conversions import convert
from htp_diffusion.pose.layout import H36M_17, MPI_INF_3DHP_17, pck_joints
from htp_diffusion.pose.space import CAMERA_METRES, MOTIONBERT_IMAGE

Dataset = Literal["synthetic", "npz", "h36m", "3dhp", "motionbert"]
Annotation = Literal["annot3", "univ_annot3"]

SYNTHETIC_CLIPS = 12
"""Procedural clips that are trained on, alone or beside a file's."""

_TRAINING_SEED = 1  # of the procedural motion; what is scored has another

_VIRTUAL = "virtual, around the motion"
_IMAGES = "the data set's four, the poses in their images"
_NOT_NAMED = "not named"  # a subject or an action, where a file has none
_USES: dict[Dataset, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "synthetic": ((), ()),
    "npz": (("data",), ()),
    "h36m": (("data", "keypoints"), ("conversion",)),
    "3dhp": (("data", "annotation"), ("test_data", "conversion")),
    "motionbert": (("data",), ()),
}
"""The options that a data set needs, and those that it can have."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which motion.

    Attributes:
        dataset: What DATA is. synthetic: embedded motion, no file. npz: any data_3d_*.npz of world motion,
            seen by virtual cameras; CMU's test clips are scored, never trained on. h36m: data_3d_h36m.npz.
            3dhp: MPI-INF-3DHP, data_train_3dhp.npz or data_test_3dhp.npz, or for a test a folder of
            TS*/annot_data.mat. motionbert: Human3.6M as MotionBERT prepared it,
            h36m_sh_conf_cam_source_final.pkl, with poses in the image; to train on, also a folder of its
            windows, such as MB3D_f243s81/H36M-SH/train.
        data: The 3D poses; of an npz file in metres.
        test_data: Of 3dhp, the file that is scored, where DATA is the one that is trained on.
        keypoints: Of h36m, the 2D poses: data_2d_h36m_*.npz.
        conversion: Rule that turns joints into those of Human3.6M: of h36m the 2D joints, where they are
            COCO's; of 3dhp all joints (by-place). Without one, 3dhp keeps its own order of joints.
        annotation: Of 3dhp, which poses the file holds; the file does not say which, you must: annot3 (D3DP's
            _ori files) or univ_annot3 (scaled to one height, P-STMO's files).
    """

    dataset: Annotated[
        Dataset | None,
        by_default("npz with --data, otherwise synthetic", "synthetic|npz|h36m|3dhp|motionbert"),
    ] = None
    data: Annotated[Path | None, by_default("embedded synthetic motion", "PATH")] = None
    test_data: Annotated[Path | None, by_default("DATA", "PATH")] = None
    keypoints: Annotated[Path | None, by_default("none", "FILE")] = None
    conversion: Annotated[str | None, by_default("none", "RULE")] = None
    annotation: Annotated[Annotation | None, by_default("asked for", "annot3|univ_annot3")] = None
    fps: Annotated[float, FPS] = CMU_FPS
    unit: Annotated[Unit, UNIT] = "metres"

    @property
    def kind(self) -> Dataset:
        """The data set. Raises as ``check``."""
        return self.check()

    def check(self) -> Dataset:
        """Check that the options fit the data set, and say which it is.

        Raises:
            BenchmarkError: An option that the data set needs is missing, or one is given that it has not.
        """
        check_fps(self.fps)
        kind = self.dataset or ("synthetic" if self.data is None else "npz")
        needed, possible = _USES[kind]
        for name in ("data", "test_data", "keypoints", "conversion", "annotation"):
            given, option = getattr(self, name) is not None, f"--{name.replace('_', '-')}"
            if name in needed and not given:
                raise BenchmarkError(f"dataset {kind} needs {option} (--help tells what it is); {DATA_PAGE}")
            if given and name not in needed + possible:
                raise BenchmarkError(f"dataset {kind} has no {option}")
        if kind == "synthetic" and (self.unit != "metres" or self.fps != CMU_FPS):
            raise BenchmarkError("--unit and --fps tell of an npz file: name it by --data")
        if self.unit != "metres" and kind != "npz":
            raise BenchmarkError(f"dataset {kind} has no --unit: its files have a unit of their own")
        if self.fps != CMU_FPS and kind != "npz":
            raise BenchmarkError(f"dataset {kind} has no --fps: its frame rate is known")
        return kind

    @property
    def has_cameras(self) -> bool:
        """Whether the data set comes with cameras and 2D poses; other motion is seen by virtual cameras.
        Raises as ``check``.
        """
        return self.kind in ("h36m", "3dhp", "motionbert")


def test_clips(source: Source, num_frames: int) -> ClipSet:
    """What is scored.

    Args:
        source: Which motion.
        num_frames: T; the embedded motion is as long as a few windows.

    Raises:
        BenchmarkError: Options that do not fit the data set, or a file that its reader refuses.
    """
    kind = source.kind
    if kind == "synthetic":
        found = embedded_set(num_frames)
        return _world(found.clips, found.description)
    path = cast(Path, source.data)  # as kind has seen
    if kind == "npz":
        found = file_set(path, source.fps, source.unit)
        return _world(found.clips, found.description)
    if kind == "h36m":
        return _h36m(source, path, H36M_TEST)
    if kind == "motionbert":
        if path.is_dir():
            raise BenchmarkError(
                f"{path}: windows have no 2.5D factor to score by; name MotionBERT's one file"
            )
        return _motionbert(path, "test")
    where = source.test_data or path
    return _mpi(_read_mpi_test(where, cast(Annotation, source.annotation)), source, where)


def training_clips(source: Source) -> ClipSet:
    """What is trained on, as the data set's own cameras see it.

    Raises:
        BenchmarkError: As ``test_clips``; or a data set that has no cameras.
    """
    if not source.has_cameras:
        raise BenchmarkError(f"dataset {source.kind} has no cameras of its own: train on its motions")
    path = cast(Path, source.data)  # as kind has seen
    if source.kind == "h36m":
        return _h36m(source, path, H36M_TRAIN)
    if source.kind == "motionbert":
        return _motionbert_windows(path) if path.is_dir() else _motionbert(path, "train")
    return _mpi(read_mpi_train(path, cast(Annotation, source.annotation)), source, path)


def training_motions(
    source: Source, synthetic_clips: int = SYNTHETIC_CLIPS, extra: Sequence[Path] = ()
) -> list[Motion]:
    """World motion to train on, seen by cameras drawn at every step; CMU's test clips are left out.

    Args:
        source: Which motion.
        synthetic_clips: Procedural clips (486 frames each) after the file's.
        extra: Further files of the same rate and unit, after them.

    Raises:
        BenchmarkError: As ``test_clips``; a data set that has cameras of its own, a count below 0, or a file
            of test clips alone.
    """
    if source.has_cameras:
        raise BenchmarkError(f"dataset {source.kind} has cameras of its own: train on its clips")
    if synthetic_clips < 0:
        raise BenchmarkError(f"synthetic-clips expects at least 0, got {synthetic_clips}")
    motions = [] if source.data is None else _trainable(source.data, source)
    if synthetic_clips:
        motions = motions + synthetic_motions(seed=_TRAINING_SEED, count=synthetic_clips)
    motions += [motion for path in extra for motion in _trainable(path, source)]
    return motions


def _trainable(path: Path, source: Source) -> list[Motion]:
    """The motion of a file, without the CMU test clips."""
    motions = read_npz(path, source.fps, source.unit)
    trainable, test = cmu_split(motions)
    if not motions:
        raise BenchmarkError(f"{path} holds no clips")
    if not trainable:
        raise BenchmarkError(f"{path} holds CMU test clips alone, which are never trained on")
    return trainable if test else motions


def _world(clips: Sequence[Clip], description: str) -> ClipSet:
    """World motion through virtual cameras."""
    labelled = []
    for clip in clips:
        motion = clip.name.partition("@")[0]
        subject, _, trial = motion.partition("/")
        # Synthetic motion is numbered: synthetic/walking_000.
        action = trial.rpartition("_")[0] if subject == "synthetic" else cmu_action(motion) or trial
        labelled.append(LabelledClip(clip=clip, subject=subject, action=action))
    return ClipSet(
        description=description,
        camera=_VIRTUAL,
        space=CAMERA_METRES,
        actions=tuple(dict.fromkeys(item.action for item in labelled)),
        clips=tuple(labelled),
    )


def _h36m(source: Source, path: Path, subjects: Sequence[str]) -> ClipSet:
    """Human3.6M through its four cameras."""
    keypoints = cast(Path, source.keypoints)
    found = read_h36m(path, keypoints, subjects, source.conversion)
    shown = {item.action for item in found}
    rule = f" by the rule {source.conversion}" if source.conversion else ""
    return ClipSet(
        description=f"Human3.6M {', '.join(subjects)}: {path.name}, 2D from {keypoints.name}{rule}",
        camera="the data set's four, lens distortion left out",
        space=CAMERA_METRES,
        actions=tuple(action for action in H36M_ACTIONS if action in shown),
        clips=tuple(LabelledClip(clip=item.clip, subject=item.subject, action=item.action) for item in found),
    )


def _motionbert(path: Path, part: str) -> ClipSet:
    """Human3.6M as MotionBERT prepared it, in the image; its training part names no actions."""
    found = read_motionbert(path, part)
    shown = {item.action or _NOT_NAMED for item in found}
    subjects = dict.fromkeys(item.subject for item in found)
    return ClipSet(
        description=f"Human3.6M {', '.join(subjects)} as MotionBERT prepared it: {path.name}, {part}, "
        "detected 2D without its confidence",
        camera=_IMAGES,
        space=MOTIONBERT_IMAGE,
        actions=tuple(action for action in H36M_ACTIONS if action in shown)
        + tuple(sorted(shown.difference(H36M_ACTIONS))),
        clips=tuple(
            LabelledClip(clip=item.to_clip(), subject=item.subject, action=item.action or _NOT_NAMED)
            for item in found
        ),
        notes=(
            "Poses are predicted in the image and scored in millimetres, each frame by its own 2.5D factor.",
            "JPMA compares places in the image: of the true root its place there, and no camera.",
        ),
    )


def _motionbert_windows(folder: Path) -> ClipSet:
    """The windows that MotionBERT cut out for training, which name neither subject nor action."""
    clips = tuple(
        LabelledClip(clip=window.to_clip(), subject=_NOT_NAMED, action=_NOT_NAMED)
        for window in read_motionbert_windows(folder)
    )
    return ClipSet(
        description=f"Human3.6M in MotionBERT's {len(clips):,} windows: {folder.name}, "
        "detected 2D without its confidence",
        camera=_IMAGES,
        space=MOTIONBERT_IMAGE,
        actions=(_NOT_NAMED,),
        clips=clips,
    )


def _read_mpi_test(path: Path, annotation: Annotation) -> list[MPIClip]:
    """The test file, or the folder of the data set's own files."""
    if not path.is_dir():
        return read_mpi_test(path, annotation)
    files = sorted(path.glob("TS*/annot_data.mat"))
    if not files:
        raise BenchmarkError(f"{path}: no TS*/annot_data.mat in this folder; {DATA_PAGE}")
    return [read_mpi_mat(file, annotation) for file in files]


def _mpi(found: Sequence[MPIClip], source: Source, path: Path) -> ClipSet:
    """MPI-INF-3DHP; a test sequence is its own action, as tables have it."""
    layout = H36M_17 if source.conversion else MPI_INF_3DHP_17
    clips = []
    for item in found:
        clip, rule = item.clip, source.conversion
        if rule:
            poses = (convert(pose, item.layout, layout, rule) for pose in (clip.pose_2d, clip.pose_3d))
            clip = replace(clip, **dict(zip(("pose_2d", "pose_3d"), poses, strict=True)))
        action = item.sequence if item.sequence == item.subject else f"{item.subject} {item.sequence}"
        clips.append(LabelledClip(clip=clip, subject=item.subject, action=action, valid=item.valid))
    rule = f", joints of Human3.6M by the rule {source.conversion}" if source.conversion else ""
    scaled = "JPMA projects poses that were scaled: the camera does not put univ_annot3 on the 2D input."
    return ClipSet(
        description=f"MPI-INF-3DHP {path.name} ({source.annotation}), ground-truth 2D{rule}",
        camera="the data set's own, lens distortion left out",
        space=replace(CAMERA_METRES, layout=layout),
        actions=tuple(dict.fromkeys(item.action for item in clips)),
        clips=tuple(clips),
        pck_joints=pck_joints(layout),
        notes=(scaled,) if source.annotation == "univ_annot3" else (),
    )
