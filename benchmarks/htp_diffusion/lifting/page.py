"""The page: one file that turns and plays in a browser, with nothing loaded from the network."""

import json
from pathlib import Path

import torch

from htp_diffusion.base.files import write_text
from htp_diffusion.comparison.kept_frames import joint_speed
from htp_diffusion.lifting.video import LiftedVideo
from htp_diffusion.pose.layout import H36M_17

_TEMPLATE = Path(__file__).with_name("page.html")
_PLACE = "/*DATA*/null"


def write_page(path: Path, video: LiftedVideo) -> None:
    """Write the page.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    # "<" only as an escape: a title cannot end the script.
    content = json.dumps(page_data(video), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    write_text(path, _TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, content))


def page_data(video: LiftedVideo) -> dict[str, object]:
    """What the page shows: whole numbers, millimetres and pixels, to keep it small."""
    watched, lifted = video.watched, video.lifted
    width, height = video.detections.image_size
    poses = (1000 * lifted.poses).round().int()
    pixels = (watched.pose_2d + torch.tensor([1.0, height / width])) * (width / 2)
    bits = 2 ** torch.arange(H36M_17.num_joints)
    return {
        "title": video.title,
        "parents": H36M_17.parents,
        "sides": [_side(joint) for joint in range(H36M_17.num_joints)],
        "frames": watched.frames.tolist(),
        "poses": poses.flatten(1).tolist(),
        "spread": (1000 * lifted.spread).round().int().tolist(),
        "seen": pixels.round().int().flatten(1).tolist(),
        "filled": (watched.filled * bits).sum(dim=1).tolist(),
        "gap": watched.gap.tolist(),
        "swapped": watched.swapped.int().tolist(),
        "kept": None if lifted.kept is None else lifted.kept.int().tolist(),
        "speed": [round(speed, 3) for speed in joint_speed(lifted.poses, video.fps or 1.0).tolist()],
        "reach": max(1, int(poses.abs().max())),
        "floor": int(poses[..., 1].max()),
        "image": [width, height],
        "fps": video.played_fps,
        "about": _about(video),
    }


def _side(joint: int) -> str:
    return "left" if joint in H36M_17.left else "right" if joint in H36M_17.right else "middle"


def _about(video: LiftedVideo) -> list[tuple[str, str]]:
    """Where it comes from, line by line."""
    watched, lifted, found = video.watched, video.lifted, video.detections
    lines = [
        ("Detections", f"{found.format}, {found.layout.name}, {found.image_size[0]}x{found.image_size[1]}"),
        ("Joints", "as they are" if watched.rule is None else f"by the rule {watched.rule}"),
        ("Model", f"{video.model}, windows of {lifted.window_frames} frames"),
    ]
    if lifted.kept is not None:
        lines.append(("Kept", f"{int(lifted.kept.sum())} of {len(lifted.kept)} frames"))
    lines.append(
        ("Frames a second", f"{video.fps:g}" if video.fps else f"unknown, played at {video.played_fps:g}")
    )
    lines.append(("Command", video.provenance.command))
    return lines
