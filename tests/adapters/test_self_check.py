"""python -m htp_modules: what it says, and that it notices what is broken."""

import adapters
import htp_modules
from adapters import self_check


def test_it_says_what_is_installed_and_that_all_is_well(capsys):
    assert self_check.main() == 0
    said = capsys.readouterr().out
    assert f"htp-modules {htp_modules.__version__}" in said
    assert all(adapter.name in said for adapter in adapters.patching.ADAPTERS)
    assert said.count("  ok  ") == 5
    assert "pruned to 9 of 27 frames" in said


def test_a_step_that_fails_is_told(capsys, monkeypatch):
    monkeypatch.setattr(self_check, "unpatch", lambda model: model)
    assert self_check.main() == 1
    said = capsys.readouterr().out
    assert "FAIL  undone" in said
    assert "1 steps failed" in said
