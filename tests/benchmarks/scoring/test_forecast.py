import time

import pytest
import torch

from htp_diffusion.data.motion import windows
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.scoring.forecast import announce, describe


class Slow(torch.nn.Module):
    """Takes 20 ms a call."""

    def forward(self, pose_2d, noisy, timestep):
        time.sleep(0.02)
        return noisy


@pytest.mark.parametrize(("hypotheses", "told"), [(1, False), (10_000, True)])
def test_what_takes_minutes_is_told_before_it_begins(capsys, hypotheses, told):
    clips = [windows(clip, 9) for clip in embedded_set(9).clips[:2]]
    sampling = Sampling(hypotheses=hypotheses, steps=5, eta=1.0, flip=True, seed=0, batch_size=1, max_batch=4)
    announce([Slow(), Slow()], clips, sampling, torch.device("cpu"))
    line = capsys.readouterr().err
    assert bool(line) == told
    if told:
        # Four windows, 2 x 10,000 x 5 passes each, by two denoisers; four passes take 20 ms.
        assert line.startswith("4 windows take 800,000 passes of a denoiser, about ")
        minutes = float(line.split("about ")[1].split()[0])
        assert minutes == pytest.approx(800_000 / 4 * 0.02 / 60, rel=0.2)


def test_the_line():
    assert describe(3, 1200, 90.0) == "3 windows take 1,200 passes of a denoiser, about 2 minutes"
