"""The sheet, the animation and the page of a lifted video."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
import torch
from detector_files import lifted_video
from matplotlib.figure import Figure
from PIL import Image

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.lifting import animation
from htp_diffusion.lifting.animation import animation_step, draw_gif, draw_mp4
from htp_diffusion.lifting.page import page_data, write_page
from htp_diffusion.lifting.sheet import _draw_time, draw_sheet

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.parametrize(("frames", "kept", "fps"), [(40, True, 30.0), (40, False, None), (1, True, 30.0)])
def test_the_sheet_is_drawn(tmp_path, frames, kept, fps):
    draw_sheet(tmp_path / "sheet.png", lifted_video(frames, fps, kept))
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 200
        assert len(picture.convert("RGB").getcolors(1_000_000) or ()) > 10


def test_a_files_name_is_no_formula(tmp_path):
    draw_sheet(tmp_path / "sheet.png", replace(lifted_video(4, 30.0), source="take_$A_$B.json"))
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_a_spread_is_drawn_where_there_is_one(spread):
    video = lifted_video(40, 30.0)
    lifted = replace(video.lifted, spread=torch.full_like(video.lifted.spread, spread))
    axes = Figure().subplots()
    _draw_time(axes, replace(video, lifted=lifted), [0, 39])
    assert len(axes.figure.axes) == (2 if spread else 1)


@pytest.mark.parametrize(("fps", "step"), [(24.0, 1), (25.0, 1), (30.0, 2), (60.0, 3), (240.0, 10)])
def test_no_more_than_25_pictures_a_second(fps, step):
    assert animation_step(fps) == step


def test_the_gif_plays_at_the_videos_speed(tmp_path):
    draw_gif(tmp_path / "motion.gif", lifted_video(40, 60.0))
    with Image.open(tmp_path / "motion.gif") as picture:
        assert picture.n_frames == 14  # every third
        assert picture.info["duration"] == 50
        first = picture.convert("RGB").copy()
        picture.seek(7)
        assert picture.convert("RGB").tobytes() != first.tobytes()


@pytest.mark.parametrize(("fps", "most"), [(30.0, 1500), (29.97, 1500), (60.0, 5)])
def test_a_gif_lasts_as_long_as_the_video(tmp_path, monkeypatch, fps, most):
    monkeypatch.setattr(animation, "_MOST_PICTURES", most)
    draw_gif(tmp_path / "motion.gif", lifted_video(60, fps))
    with Image.open(tmp_path / "motion.gif") as picture:
        assert picture.n_frames == min(30, most)
        lasts = 0
        for number in range(picture.n_frames):
            picture.seek(number)
            lasts += picture.info["duration"]
    assert lasts == pytest.approx(60_000 / fps, abs=10)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg")
def test_the_mp4_holds_as_many_pictures(tmp_path):
    assert draw_mp4(tmp_path / "motion.mp4", lifted_video(40, 60.0))
    command = ["ffmpeg", "-i", str(tmp_path / "motion.mp4"), "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert re.findall(r"frame=\s*(\d+)", told)[-1] == "14"


def test_without_ffmpeg_there_is_no_mp4(tmp_path, monkeypatch):
    monkeypatch.setattr(animation.shutil, "which", lambda _: None)
    assert not draw_mp4(tmp_path / "motion.mp4", lifted_video())
    assert not list(tmp_path.iterdir())


def test_an_ffmpeg_that_fails_is_one_line_and_no_file(tmp_path, monkeypatch):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(animation.shutil, "which", lambda _: str(script))
    with pytest.raises(BenchmarkError, match="ffmpeg: no such codec"):
        draw_mp4(tmp_path / "motion.mp4", lifted_video())
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_the_page_holds_the_poses_to_the_millimetre(tmp_path):
    video = lifted_video()
    write_page(tmp_path / "page.html", video)
    text = (tmp_path / "page.html").read_text()
    data = json.loads(text.split("const data = ")[1].split(";\n")[0])
    assert data == json.loads(json.dumps(page_data(video)))
    poses = torch.tensor(data["poses"]).view(40, 17, 3) / 1000
    assert (poses - video.lifted.poses).abs().max() <= 0.0005 + 1e-6
    seen = torch.tensor(data["seen"]).view(40, 17, 2) / 500 - torch.tensor([1.0, 0.8])
    assert (seen - video.watched.pose_2d).abs().max() <= 0.001 + 1e-6
    spread = torch.tensor(data["spread"]) / 1000
    assert (spread - video.lifted.spread).abs().max() <= 0.0005 + 1e-6
    assert data["frames"] == list(range(7, 47))
    assert data["kept"] == [1 if t % 3 == 0 else 0 for t in range(40)]
    assert data["gap"][9:12] == [0, 2, 2]
    assert data["filled"][0] == 1 << 16
    assert data["filled"][3] == 2**17 - 1
    assert data["swapped"].index(1) == 6


def test_the_page_loads_nothing_and_cannot_be_broken_by_a_name(tmp_path):
    write_page(tmp_path / "page.html", lifted_video())
    text = (tmp_path / "page.html").read_text()
    assert not re.search(r"https?://|src=|@import|url\(|<link", text)
    assert text.count("</script>") == 1
    assert "default-src 'none'" in text


@pytest.fixture
def browse(tmp_path):
    """The page's document after a second of its own time, in a real browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")

    def browse(video, query="", script=""):
        write_page(tmp_path / "page.html", video)
        text = (tmp_path / "page.html").read_text()
        (tmp_path / "page.html").write_text(text.replace("</body>", f"<script>{script}</script></body>"))
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
        ]
        command += ["--virtual-time-budget=1000", "--dump-dom", f"file://{tmp_path}/page.html#{query}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return dict(
            re.findall(r'data-(\w+)="([^"]*)"', re.findall(r"<body[^>]*>", done.stdout)[0])
        ), done.stdout

    return browse


def test_the_page_plays_in_a_browser(browse):
    # The browser's animation frames come when they come; the page is handed two, 2 s apart.
    script = "setPlaying(true); tick(0); tick(2000); setPlaying(false);"
    video = lifted_video(400)
    state, text = browse(video, "frame=5&paused", script)
    assert int(state["frame"]) == 5 + round(2 * page_data(video)["fps"])
    assert "clip &lt;/script&gt;&lt;b&gt;, person 2, by htp-example" in text


def test_the_page_stands_still_where_it_is_asked_to(browse):
    state, text = browse(lifted_video(), "frame=12&yaw=30&paused")
    assert state == {"frame": "12", "yaw": "30"}
    assert "frame 19 (13 of 40), kept, in a long gap" in text


def test_the_page_turns_and_steps(browse):
    script = """
        const view = document.getElementById("view");
        view.setPointerCapture = () => {};
        const event = (type, x) => new PointerEvent(type, { clientX: x, clientY: 10, pointerId: 1 });
        const point = (type, x) => view.dispatchEvent(event(type, x));
        point("pointerdown", 100); point("pointermove", 200); point("pointerup", 200);
        dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    """
    state, text = browse(lifted_video(), "frame=5&paused", script)
    assert state == {"frame": "6", "yaw": "57"}  # 100 pixels are a radian
    assert "sides changed back" in text


def test_a_video_of_one_frame_without_pruning_is_shown_too(browse):
    state, text = browse(lifted_video(1, None, kept=False))
    assert state["frame"] == "0"
    assert "frame 7 (1 of 1)<" in text
    assert "unknown, played at 30" in text
