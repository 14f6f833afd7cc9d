"""From a detector's 2D joints of a video to 3D poses, files and pictures.

python benchmarks/lift.py alphapose-results.json --size 1920x1080 --fps 30 --out runs/lift
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from adapters.words import printable
from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.computing import Precise
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder, write_text
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.data.keypoints.detections import Detections, read_size
from htp_diffusion.data.keypoints.gaps import LEAST_CONFIDENCE
from htp_diffusion.data.keypoints.reading import Format, read_detections
from htp_diffusion.data.mocap.bvh_writing import bvh_text
from htp_diffusion.diffusion.options import SamplingOptions
from htp_diffusion.lifting.animation import draw_gif, draw_mp4
from htp_diffusion.lifting.cost import told_cost
from htp_diffusion.lifting.height import scaled_to, space_of_files
from htp_diffusion.lifting.lifted import Lifted, lift
from htp_diffusion.lifting.outputs import DRAWN, SCORES, Drawing, outputs_of, refuse_overwriting
from htp_diffusion.lifting.page import write_page
from htp_diffusion.lifting.reference import (
    Reference,
    first_number,
    read_cameras,
    read_reference,
    score,
    triangulated_reference,
)
from htp_diffusion.lifting.scores import VideoScores, score_table
from htp_diffusion.lifting.sheet import draw_sheet
from htp_diffusion.lifting.video import LiftedVideo, save_poses
from htp_diffusion.lifting.watched import DEFAULT_RULE, Watched, watch
from htp_diffusion.models.checkpoint import SHIPPED, json_of
from htp_diffusion.models.contender import Contender, Pruning, named_contenders
from htp_diffusion.models.public_weights import PublicWeights
from htp_diffusion.pose.layouts import layout_named
from htp_diffusion.pose.space import CAMERA_METRES

_DEFAULT = "htp-video.json"
_SLOWEST, _FASTEST = 1.0, 1000.0  # frames a second


@dataclass(frozen=True, kw_only=True)
class Options:
    """Lift the person in a video from 2D detections to 3D.

    Writes poses.npz (3D poses in metres about the pelvis, in the camera's axes, with frame numbers, gaps,
    uncertainty and kept frames), motion.bvh and pictures.

    Attributes:
        detections: AlphaPose's results JSON, a folder of OpenPose's, MMPose's predictions JSON, MediaPipe's
            landmarks (JSON or npz), or an npz file of MHFormer's or HoT's demo, VideoPose3D or Detectron.
        out: Folder for what is written.
        format: What DETECTIONS is: alphapose, openpose, mmpose, mediapipe, mhformer, videopose3d or
            detectron.
        layout: The order of its joints, such as coco-17 or halpe-26.
        size: Width and height of the image, pixels, as 1920x1080.
        video: Which video of a file of several.
        person: Number of the person to lift.
        confidence: Joints detected with a lower confidence count as missing.
        rule: How the detector's joints become Human3.6M's: cmu for checkpoints of this project, or the rule
            that a checkpoint was trained with (motionbert, gast, ...).
        repair_sides: Change left and right back where the detector took one for the other.
        height: Of the person, metres: for models that predict in the image, as MotionBERT, whose poses are
            scaled by it.
        fps: Frames a second of the video; poses are lifted at MODEL_FPS and given back at the video's. Where
            nobody tells it, frames are taken as MODEL_FPS apart, and pictures play at 30.
        model_fps: Frames a second of the motion that the model was trained on.
        checkpoints: JSON files of checkpoints, or runs' folders. The first makes the files; with REFERENCE,
            all are scored.
        public: A checkpoint that others published, in place of the shipped one; patched by HTP unless pruning
            is switched off.
        prune: Let HTP prune.
        sampling: How to sample; the mean of the hypotheses is taken, their spread is the uncertainty.
        computing: Device and precision.
        draw: all (sheet.png, page.html, motion.gif and, with ffmpeg, motion.mp4), the sheet alone, or none.
        reference: npz of triangulated landmarks (points: frames, 33, 3) to compare with: scores.json.
        camera: Number of the video's camera in REFERENCE, from 1.
        views: Detections of REFERENCE's cameras 1, 2 and so on: the joints to compare with are triangulated
            from them, sides changed back, in place of its points.
    """

    detections: tyro.conf.Positional[Path]
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/lift")
    format: Annotated[Format | None, by_default("recognised", "NAME")] = None
    layout: Annotated[str | None, by_default("as the file tells", "NAME")] = None
    size: Annotated[str | None, by_default("as the file tells", "WxH")] = None
    video: Annotated[str | None, by_default("the only one", "NAME")] = None
    person: Annotated[int | None, by_default("the one seen in most frames", "INT")] = None
    confidence: float = LEAST_CONFIDENCE
    rule: str = DEFAULT_RULE
    repair_sides: bool = True
    height: Annotated[float | None, by_default("none", "METRES")] = None
    fps: Annotated[float | None, by_default("as the file tells", "FLOAT")] = None
    model_fps: float = 60.0
    checkpoints: Annotated[tuple[Path, ...], by_default(f"the shipped {_DEFAULT}", "FILE...")] = ()
    public: Annotated[PublicWeights, tyro.conf.arg(name="")] = field(default_factory=PublicWeights)
    prune: bool = True
    sampling: Annotated[SamplingOptions, tyro.conf.arg(name="")] = field(
        default_factory=lambda: SamplingOptions(batch_size=4)
    )
    computing: Annotated[Precise, tyro.conf.arg(name="")] = field(default_factory=Precise)
    draw: Drawing = "all"
    reference: Annotated[Path | None, by_default("none", "FILE")] = None
    camera: Annotated[int | None, by_default("none", "INT")] = None
    views: Annotated[tuple[Path, ...], by_default("none", "DETECTIONS...")] = ()


def main(options: Options) -> None:
    """Read, lift, save, draw, and say what came out."""
    if options.camera is not None and options.reference is None:
        raise BenchmarkError("--camera needs --reference, whose camera it is")
    _keep_inputs(options)
    found = read_detections(
        options.detections,
        format=options.format,
        layout=None if options.layout is None else layout_named(options.layout),
        image_size=None if options.size is None else read_size(options.size),
        video=options.video,
    )
    watched = _watch(found, options, options.person)
    fps = found.fps if options.fps is None else options.fps
    for name, rate in (("fps", fps), ("model-fps", options.model_fps)):
        if rate is not None and not _SLOWEST <= rate <= _FASTEST:
            raise BenchmarkError(f"{name} expects {_SLOWEST:g} to {_FASTEST:g} frames a second, got {rate:g}")
    _tell_input(found, watched, fps, options)
    reference = _reference(options)
    if reference is not None:
        first = first_number(watched.frames, len(reference.positions))
        print(f"the reference's first frame is taken to be frame {first} of the video")
    contenders = _contenders(options)
    out = make_folder(options.out)
    scores = []
    for index, contender in enumerate(contenders if reference is not None else contenders[:1]):
        lifted = _lift(contender, watched, fps, options)
        print(told_cost(contender.name, contender.config, lifted))
        if index == 0:
            _write(out, options, found, watched, lifted, contender, fps)
        if reference is not None:
            scores.append(score(contender.name, lifted.poses, watched.frames, reference, options.camera))
    if scores:
        result = VideoScores(
            source=printable(options.detections.name),
            camera=options.camera,
            views=len(options.views),
            sampling=options.sampling.sampling.label,
            scores=scores,
            provenance=provenance(),
        )
        write_json(out / SCORES, result)
        show(score_table(scores))
        print(f"written: {out / SCORES}")


def _keep_inputs(options: Options) -> None:
    """Refuse to write over what is read."""
    files = (options.detections, options.reference, options.public.weights, *options.views)
    names = outputs_of(options.draw, scored=options.reference is not None)
    refuse_overwriting(options.out, names, (*files, *map(json_of, options.checkpoints)))


def _watch(found: Detections, options: Options, person: int | None = None) -> Watched:
    return watch(
        found,
        person=person,
        rule=options.rule,
        least_confidence=options.confidence,
        repair_sides=options.repair_sides,
    )


def _reference(options: Options) -> Reference | None:
    path = options.reference
    if path is None:
        if options.views:
            raise BenchmarkError("--views needs --reference, whose cameras they are")
        return None
    given = read_reference(path, options.rule)
    if options.camera is not None:
        given.rotation_of(options.camera)  # or a wrong number would be told at the end
    if not options.views:
        return given
    known, count = read_cameras(path), len(options.views)
    if not 2 <= count <= len(known):
        raise BenchmarkError(
            f"--views expects detections of 2 to {len(known)} cameras of {path}, got {count}"
        )
    cameras = known[:count]
    views = [
        _watch(read_detections(view, image_size=camera.image_size), options)
        for view, camera in zip(options.views, cameras, strict=True)
    ]
    return triangulated_reference(given, cameras, views)


def _contenders(options: Options) -> list[Contender]:
    public = options.public.contenders(Pruning() if options.prune else None)[-1:]
    shipped = () if public else (SHIPPED / _DEFAULT,)
    pruning = Pruning() if options.prune else Pruning(num_keep=1.0)
    own = named_contenders(options.checkpoints or shipped, pruning, CAMERA_METRES)
    for contender in (*public, *own):
        space_of_files(contender, options.height)
    return [*public, *own]


def _lift(contender: Contender, watched: Watched, fps: float | None, options: Options) -> Lifted:
    sampling = options.sampling.sampling
    with progress_bar() as progress:
        task = progress.add_task(f"{contender.name}, {sampling.label}, batches", total=None)
        lifted = lift(
            contender,
            watched.pose_2d,
            sampling,
            fps=fps,
            model_fps=options.model_fps,
            device=options.computing.start(),
            precision=options.computing.precision,
            memory_budget=options.sampling.memory_budget,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    return lifted if options.height is None else scaled_to(lifted, options.height)


def _write(
    out: Path,
    options: Options,
    found: Detections,
    watched: Watched,
    lifted: Lifted,
    contender: Contender,
    fps: float | None,
) -> None:
    """Save first, draw afterwards."""
    video = LiftedVideo(
        source=printable(options.detections.name),
        detections=found,
        watched=watched,
        lifted=lifted,
        model=contender.name,
        space=space_of_files(contender, options.height),
        fps=fps,
        provenance=provenance(),
    )
    save_poses(out / "poses.npz", video)
    write_text(out / "motion.bvh", bvh_text(lifted.poses.numpy(), fps or options.model_fps))
    written = ["poses.npz", "motion.bvh"]
    start = time.perf_counter()
    if options.draw != "none":
        draw_sheet(out / "sheet.png", video)
        written.append("sheet.png")
    if options.draw == "all":
        write_page(out / "page.html", video)
        draw_gif(out / "motion.gif", video)
        written += ["page.html", "motion.gif"]
        if draw_mp4(out / "motion.mp4", video):
            written.append("motion.mp4")
    if options.draw != "none":
        print(f"drawing: {time.perf_counter() - start:.1f} s")
    for name in written:
        print(f"written: {out / name}")
    for name in DRAWN:
        if name not in written and (out / name).exists():
            print(f"not drawn anew, of an earlier run: {out / name}")


def _tell_input(found: Detections, watched: Watched, fps: float | None, options: Options) -> None:
    width, height = found.image_size
    print(f"{options.detections}: {found.format}, {found.layout.name}, {width}x{height} pixels")
    others = ", ".join(f"{track.number} ({len(track.frames)} frames)" for track in found.tracks)
    print(f"people, followed by {found.followed}: {others}; lifted: {watched.person}")
    first, last = int(watched.frames[0]), int(watched.frames[-1])
    missed, long = int((watched.gap > 0).sum()), int((watched.gap == 2).sum())
    print(
        f"frames {first} to {last}: {missed} in gaps, filled in on lines ({long} of them in long gaps); "
        f"{watched.filled.float().mean():.1%} of the joints filled in; "
        f"left and right changed back in {int(watched.swapped.sum())} frames"
    )
    print(f"joints: {'as they are' if watched.rule is None else f'by the rule {watched.rule}'}")
    rate = f"{fps:g} frames a second" if fps else "no frame rate is known: taken as the model's"
    print(f"{rate}; the model's: {options.model_fps:g}")


if __name__ == "__main__":
    run_command(main, Options)
