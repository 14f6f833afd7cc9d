"""Files that are written whole, in folders where others have left links."""

import os
import secrets
import stat

import pytest

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import whole_file, write_text


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def test_a_link_under_a_name_that_can_be_guessed_is_not_followed(tmp_path, victim):
    out = tmp_path / "out.json"
    (tmp_path / f".out.json.{os.getpid()}.partial").symlink_to(victim)
    write_text(out, "new")
    assert victim.read_text() == "precious"
    assert out.read_text() == "new"
    assert not out.is_symlink()


def test_a_link_under_the_very_name_is_refused(tmp_path, victim, monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda count: "ab" * count)
    waiting = tmp_path / ".out.json.abababab.partial"
    waiting.symlink_to(victim)
    with pytest.raises(BenchmarkError, match=r"cannot write .*out\.json: File exists"):
        write_text(tmp_path / "out.json", "new")
    assert victim.read_text() == "precious"
    assert waiting.is_symlink()  # it is not ours to delete


def test_a_target_that_is_a_link_stays_one_and_leads_to_the_new_text(tmp_path):
    (tmp_path / "store").mkdir()
    kept, link = tmp_path / "store" / "result.json", tmp_path / "result.json"
    kept.write_text("old")
    link.symlink_to(kept)
    write_text(link, "new")
    assert link.is_symlink()
    assert kept.read_text() == "new"
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["result.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_mode_of_any_new_file(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "out") as partial:
            partial.unlink()  # as a writer that makes the file itself, for its owner alone
            partial.touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_text_that_utf_8_cannot_hold_is_one_error(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(BenchmarkError, match=r"cannot write .*page\.html: its text is not all Unicode"):
        write_text(path, "caf\udce9")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "old"
