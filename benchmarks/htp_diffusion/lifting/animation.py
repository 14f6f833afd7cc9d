"""The animation: 2D and 3D side by side, as a GIF, and as an MP4 where ffmpeg is there."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, cast

import torch
from PIL import Image, ImageDraw

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import whole_file
from htp_diffusion.lifting.video import LiftedVideo
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.view import bone_colour, seen_from

_PANEL, _BAR = 320, 28  # pixels
_MOST_FPS = 25.0
_MOST_PICTURES = 1500  # of a GIF, which is made in memory: a minute
_TICK = 0.01  # seconds: what a GIF counts time in
_TURN = 40.0  # degrees to either side, so that depth is seen
_INK, _LINE, _KEPT, _GAPS = "#24272d", "#d5d9e0", "#d1495b", {1: "#f3e2b3", 2: "#e9b872"}


def animation_step(fps: float) -> int:
    """Every how many frames one is drawn: more than 25 pictures a second are not worth their bytes."""
    return max(1, -int(-fps // _MOST_FPS))


def draw_gif(path: Path, video: LiftedVideo) -> None:
    """Write the animation as a GIF.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    fps = video.played_fps
    step = max(animation_step(fps), -(-len(video.lifted.poses) // _MOST_PICTURES))
    palette = _palette()
    pictures = (
        picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in _pictures(video, step)
    )
    first = next(pictures)
    try:
        with whole_file(path) as partial:
            first.save(
                partial,
                format="GIF",
                save_all=True,
                append_images=pictures,
                duration=_durations(len(range(0, len(video.lifted.poses), step)), step / fps),
                loop=0,
                optimize=False,
            )
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error


def _durations(pictures: int, seconds: float) -> list[int]:
    """Milliseconds of each picture, in whole ticks that keep up with the video."""
    ticks = [round(number * seconds / _TICK) for number in range(pictures + 1)]
    return [round(1000 * _TICK * (after - before)) for before, after in pairwise(ticks)]


def draw_mp4(path: Path, video: LiftedVideo) -> bool:
    """Write the animation as an MP4; False where there is no ffmpeg.

    Raises:
        BenchmarkError: ffmpeg fails; its last line is told.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    try:
        _encode_mp4(path, video, program)
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error
    return True


def _encode_mp4(path: Path, video: LiftedVideo, program: str) -> None:
    fps = video.played_fps
    step = animation_step(fps)
    size = f"{2 * _PANEL}x{_PANEL + _BAR}"
    with whole_file(path) as partial:
        command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size]
        command += ["-r", f"{fps / step:g}", "-i", "-", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
        command += ["-f", "mp4", str(partial)]
        # What it says goes to a file: a full pipe that nobody reads would stop both.
        with tempfile.TemporaryFile() as log:
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as process:  # noqa: S603
                try:
                    with cast(IO[bytes], process.stdin) as pipe:
                        for picture in _pictures(video, step):
                            pipe.write(picture.tobytes())
                except BrokenPipeError:
                    pass  # it has ended, and its log says why
            if process.returncode:
                log.seek(0)
                lines = log.read().decode(errors="replace").strip().splitlines() or ["no message"]
                raise BenchmarkError(f"cannot write {path}: ffmpeg: {lines[-1]}")


def _palette() -> Image.Image:
    """The few colours that there are, in one picture."""
    colours = [
        _INK,
        _LINE,
        _KEPT,
        "#ffffff",
        "#6d7480",
        *_GAPS.values(),
        *{bone_colour(child) for _, child in H36M_17.bones},
    ]
    picture = Image.new("P", (1, 1))
    picture.putpalette([part for colour in colours for part in bytes.fromhex(colour[1:])])
    return picture


def _pictures(video: LiftedVideo, step: int) -> Iterator[Image.Image]:
    """One picture for every ``step``-th frame."""
    poses, count = video.lifted.poses, len(video.lifted.poses)
    width, height = video.detections.image_size
    scale = 0.92 * _PANEL / max(1.0, height / width) / 2
    flat = video.watched.pose_2d * scale + _PANEL / 2
    reach = float(poses.abs().amax()) * 1.08 or 1.0
    strip = _time_line(video)
    corners = (
        (torch.tensor([[-1.0, -height / width], [1.0, height / width]]) * scale + _PANEL / 2)
        .flatten()
        .tolist()
    )
    for index in range(0, count, step):
        picture = Image.new("RGB", (2 * _PANEL, _PANEL + _BAR), "white")
        pen = ImageDraw.Draw(picture)
        pen.rectangle(corners, outline=_LINE)
        _bones(pen, flat[index].tolist())
        angle = _TURN * torch.sin(torch.tensor(2 * torch.pi * index / max(60, count / 4))).item()
        places = seen_from(poses[index], angle) * torch.tensor([1.0, -1.0]) * (_PANEL / 2 / reach)
        _bones(pen, (places + torch.tensor([1.5 * _PANEL, _PANEL / 2])).tolist())
        picture.paste(strip, (0, _PANEL))
        at = _place(index, count)
        pen.line([(at, _PANEL), (at, _PANEL + _BAR)], fill=_INK, width=2)
        yield picture


def _bones(pen: ImageDraw.ImageDraw, places: list[list[float]]) -> None:
    for parent, child in H36M_17.bones:
        pen.line([tuple(places[parent]), tuple(places[child])], fill=bone_colour(child), width=4)


def _place(index: float, count: int) -> float:
    return 4 + index * (2 * _PANEL - 8) / max(1, count - 1)


def _time_line(video: LiftedVideo) -> Image.Image:
    """The strip below: gaps and kept frames."""
    count = len(video.lifted.poses)
    strip = Image.new("RGB", (2 * _PANEL, _BAR), "white")
    pen = ImageDraw.Draw(strip)
    pen.line([(0, 0), (2 * _PANEL, 0)], fill=_LINE)
    for index, kind in enumerate(video.watched.gap.tolist()):
        if kind:
            pen.rectangle([_place(index - 0.5, count), 1, _place(index + 0.5, count), _BAR], fill=_GAPS[kind])
    if video.lifted.kept is not None:
        for index in video.lifted.kept.nonzero().flatten().tolist():
            pen.line([(_place(index, count), 8), (_place(index, count), _BAR - 6)], fill=_KEPT)
    return strip
