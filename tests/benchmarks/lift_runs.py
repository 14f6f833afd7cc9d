"""Runs of the command that lifts a video that take a moment."""

import lift
from htp_diffusion.base.command import run_command


def run(*arguments):
    run_command(lift.main, lift.Options, [str(argument) for argument in arguments])


def arguments_of_a_moment(checkpoints, out):
    return [
        "--checkpoints", checkpoints / "htp-tiny.json", "--size", "1000x800", "--hypotheses", 2, "--steps", 2,
        "--device", "cpu", "--out", out,
    ]  # fmt: skip
