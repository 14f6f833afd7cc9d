"""Convert CMU motion capture, ASF/AMC or BVH, to the 17 Human3.6M joints in the field's npz layout."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import whole_file
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.data.formats.units import UNITS, require_unit
from htp_diffusion.data.mocap import amc, bvh
from htp_diffusion.data.mocap.asf import METRES, AsfSkeleton, read_asf
from htp_diffusion.data.mocap.cmu import CMU_FPS
from htp_diffusion.data.mocap.h36m_joints import (
    ASF_POINTS,
    BVH_POINTS,
    FirstJump,
    coincident_joints,
    first_jump,
    to_motion,
)
from htp_diffusion.data.motion import Motion
from htp_diffusion.pose.layout import H36M_17

_MOTIONS = (".amc", ".bvh")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Convert CMU motion capture to the 17 Human3.6M joints, metres, z up, in the field's npz layout.

    SOURCE/02/02_01.amc with the skeleton SOURCE/02/02.asf, or SOURCE/02/02_01.bvh, becomes
    positions_3d["S02"]["02_01"] of OUT.

    Attributes:
        source: Folder with one folder a subject.
        out: The npz file to write; one that is there is replaced.
        fps: Frames a second of OUT, by leaving out frames: it must divide the recording's.
        amc_fps: Frames a second of AMC files, which do not tell it: 120 for most of the CMU database.
        bvh_unit: Metres in a unit of BVH files, which do not tell it; the default is the CMU skeletons' unit.
            A unit in which no thigh has a human length is refused.
        bvh_skip: Frames to leave out at the start of BVH files: 1 for conversions with an added T-pose.
    """

    source: tyro.conf.Positional[Path]
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.npz")]
    fps: float = CMU_FPS
    amc_fps: float = 120.0
    bvh_unit: float = METRES
    bvh_skip: int = 0


def find_recordings(source: Path) -> list[Path]:
    """The motions of every subject's folder, by subject and name.

    Raises:
        BenchmarkError: There is no such folder, it holds no subjects' motions, or one motion in two formats.
    """
    if not source.is_dir():
        raise BenchmarkError(f"{source}: no such folder")
    try:
        found = sorted(p for p in source.glob("*/*") if p.suffix.lower() in _MOTIONS and p.is_file())
    except OSError as error:
        raise BenchmarkError(f"cannot read {source}: {error.strerror}") from error
    if not found:
        if any(path.suffix.lower() in _MOTIONS for path in source.iterdir()):
            raise BenchmarkError(f"{source} is a subject's folder: give the folder that holds it")
        raise BenchmarkError(
            f"{source} holds no motions: expected subjects' folders with .amc or .bvh files, as 02/02_01.amc"
        )
    for first, second in pairwise(found):
        if first.with_suffix("") == second.with_suffix(""):
            raise BenchmarkError(f"{first} and {second} would be the same motion: take one of them away")
    return found


def find_skeleton(folder: Path) -> Path:
    """The one skeleton of a subject's folder.

    Raises:
        BenchmarkError: There is none, or there are several.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".asf")
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise BenchmarkError(f"{folder}: AMC files need one .asf skeleton beside them, found {names}")
    return found[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Converted:
    """What became of a recording.

    Attributes:
        motion: Its motion.
        jump: The jump after its first frame, if that is no part of it.
    """

    motion: Motion
    jump: FirstJump | None = None


def convert(path: Path, options: Options, skeletons: dict[Path, AsfSkeleton]) -> Converted:
    """One recording's motion.

    Args:
        path: An .amc or .bvh file.
        options: The rates and units.
        skeletons: The skeletons read so far by their folder; this one's is added.

    Raises:
        BenchmarkError: A file is malformed, or the frame rates or the unit of length do not fit.
    """
    name = f"S{path.parent.name}/{path.stem}"
    if path.suffix.lower() == ".bvh":
        recording = bvh.read_bvh(path)
        if options.bvh_skip >= len(recording.values):
            raise BenchmarkError(f"{path}: nothing is left without its first {options.bvh_skip} frames")
        points = bvh.forward_kinematics(recording, options.bvh_unit)
        points = {point: positions[options.bvh_skip :] for point, positions in points.items()}
        motion = to_motion(name, points, BVH_POINTS, recording.fps, _step(path, recording.fps, options.fps))
        require_unit(
            motion.positions / options.bvh_unit,
            H36M_17,
            options.bvh_unit,
            str(path),
            lambda fitting: f"--bvh-unit {UNITS[fitting]:.6g}",
        )
        return Converted(motion=motion, jump=first_jump(points, BVH_POINTS))
    if path.parent not in skeletons:
        skeletons[path.parent] = read_asf(find_skeleton(path.parent))
    skeleton = skeletons[path.parent]
    points = amc.forward_kinematics(skeleton, amc.read_amc(path, skeleton))
    motion = to_motion(name, points, ASF_POINTS, options.amc_fps, _step(path, options.amc_fps, options.fps))
    require_unit(motion.positions / METRES, H36M_17, "cmu", str(path))
    return Converted(motion=motion)


def write_npz(path: Path, motions: Sequence[Motion]) -> None:
    """Write motions in the field's layout; the file is whole or not there, never half written.

    Args:
        path: Where; a file that is there is replaced.
        motions: Named "subject/action".

    Raises:
        BenchmarkError: The file cannot be written.
    """
    tree: dict[str, dict[str, np.ndarray]] = {}
    for motion in motions:
        subject, action = motion.name.split("/")
        tree.setdefault(subject, {})[action] = motion.positions.numpy()
    try:
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, positions_3d=np.array(tree, dtype=object))
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error


def _step(path: Path, recorded: float, wanted: float) -> int:
    step = round(recorded / wanted)
    if step < 1 or abs(recorded / wanted - step) > 1e-9:
        raise BenchmarkError(
            f"{path} has {recorded:g} frames a second, of which --fps {wanted:g} is no whole part: "
            f"take {recorded:g}, {recorded / 2:g}, {recorded / 3:g}, ..."
        )
    return step


def _check(options: Options) -> None:
    for name in ("fps", "amc_fps", "bvh_unit"):
        value = getattr(options, name)
        if not 1e-6 <= value <= 1e6:
            raise BenchmarkError(f"--{name.replace('_', '-')} expects 1e-6 to 1e6, got {value}")
    if options.bvh_skip < 0:
        raise BenchmarkError(f"--bvh-skip expects at least 0, got {options.bvh_skip}")
    if options.out.is_dir() or not options.out.parent.is_dir():
        problem = "is a folder" if options.out.is_dir() else "is in a folder that is not there"
        raise BenchmarkError(f"cannot write {options.out}: it {problem}")


def _check_formats(options: Options, recordings: Sequence[Path]) -> None:
    formats = {path.suffix.lower() for path in recordings}
    for name in ("amc_fps", "bvh_unit", "bvh_skip"):
        ending = f".{name[:3]}"
        if ending not in formats and getattr(options, name) != getattr(Options, name):
            option = name.replace("_", "-")
            raise BenchmarkError(f"--{option} is for {ending} files, of which {options.source} holds none")


def main(options: Options) -> None:
    """Convert every recording, write the file, and tell where bones have no length."""
    _check(options)
    recordings = find_recordings(options.source)
    _check_formats(options, recordings)
    skeletons: dict[Path, AsfSkeleton] = {}
    converted: list[Converted] = []
    with progress_bar() as progress:
        task = progress.add_task("", total=len(recordings))
        for path in recordings:
            progress.update(task, description=f"{path.parent.name}/{path.name}")
            converted.append(convert(path, options, skeletons))
            progress.advance(task)
    motions = [item.motion for item in converted]
    write_npz(options.out, motions)
    frames = sum(len(motion.positions) for motion in motions)
    print(f"written: {options.out} ({len(motions)} motions, {frames} frames at {options.fps:g} a second)")
    flat = [bones for motion in motions if (bones := coincident_joints(motion))]
    if flat:
        bones = ", ".join(f"{a} and {b}" for a, b in sorted({bone for bones in flat for bone in bones}))
        print(f"note: in {len(flat)} motions the skeleton puts joints in one place: {bones}")
    _tell_jumps(converted, options.bvh_skip)


def _tell_jumps(converted: Sequence[Converted], skipped: int) -> None:
    """Tell of first frames that are no part of their motion."""
    jumps = [(item.motion.name, item.jump) for item in converted if item.jump is not None]
    if not jumps:
        return
    name, jump = jumps[0]
    print(
        f"note: the first frame of {len(jumps)} motions is far from the second, as an added T-pose is "
        f"(in {name} a jump of {1000 * jump.first:.0f} mm, later steps are below "
        f"{1000 * jump.later:.0f}): --bvh-skip {skipped + 1} leaves it out"
    )


if __name__ == "__main__":
    run_command(main, Options)
