import os
import signal
import stat
import threading

import pytest
import torch
from training_runs import small_motions, trainer_in

from adapters.clock import SpeedUp
from htp_diffusion.base.interruption import held_interrupts
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tensors import write_tensors
from htp_diffusion.models.checkpoint import load_checkpoint


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C as in a terminal; where tests run in the background, it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_is_noted_and_the_second_raised():
    before = signal.getsignal(signal.SIGINT)
    with held_interrupts() as interrupted:
        assert not interrupted()
        interrupt()
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) == before


def test_a_run_that_ignores_interrupts_goes_on_ignoring_them():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_interrupts() as interrupted:
        interrupt()
        assert not interrupted()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_outside_the_main_thread_nothing_is_changed():
    found = []

    def look():
        with held_interrupts() as interrupted:
            found.append(interrupted())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [False]


def test_an_interrupted_training_is_saved_and_goes_on_to_the_same_weights(tmp_path):
    motions = small_motions()
    straight = trainer_in(tmp_path / "straight", motions)
    list(straight.run(save_every=1000))
    trainer = trainer_in(tmp_path / "run", motions)
    steps = trainer.run(save_every=1000)
    next(steps)
    interrupt()
    assert next(steps)[0] == 2
    with pytest.raises(KeyboardInterrupt, match="saved at step 2; the same command goes on from there"):
        next(steps)
    again = trainer_in(tmp_path / "run", motions)
    assert again.checkpoint.step == 2
    list(again.run(save_every=1000))
    (_, expected), (_, found) = (load_checkpoint(run.path) for run in (straight, again))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_modes_of_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(2)})
        ratio = SpeedUp(of_medians=1.0, paired=1.0, paired_low=1.0, paired_high=1.0)
        write_json(tmp_path / "a.json", ratio)
    finally:
        os.umask(before)
    for name in ("a.safetensors", "a.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask
