"""The recovery study, small."""

import pytest
import torch

from htp_diffusion.base.results import read_json
from htp_diffusion.studies.commands import recovery
from htp_modules import KeptFrames


def test_the_study_writes_a_row_for_each_recovery(tmp_path, capsys):
    recovery.main(recovery.Options(training_steps=3, out=tmp_path))
    study = read_json(tmp_path / "recovery.json", recovery.Study)
    assert [row.recovery for row in study.rows] == list(recovery.RECOVERIES)
    assert "Restoring 81 frames from 27" in capsys.readouterr().out


def test_the_papers_text_to_the_letter_does_not_see_where_frames_are():
    paper = recovery.PaperRecovery()
    x = torch.randn(1, 2, 3, 64)
    early, late = (paper(x, KeptFrames(torch.tensor([index]), 81)) for index in ([0, 1], [79, 80]))
    assert torch.equal(early, late)
    assert early.shape == (1, 81, 3, 64)


@pytest.mark.parametrize("name", recovery.RECOVERIES)
def test_every_recovery_trains(name):
    restorer = recovery.Restorer(recovery.RECOVERIES[name]())
    restorer(torch.randn(1, 81, 2, 3), KeptFrames(torch.arange(27).view(1, -1), 81)).sum().backward()
    assert all(parameter.grad is not None for parameter in restorer.parameters())
