"""Options of all scripts together: one spelling for one thing, and its help written once."""

import contextlib
import dataclasses
import importlib
import inspect
import io
import re
import sys
import typing
from collections import defaultdict

import pytest

import measure
import study
from htp_diffusion.base.command import run_command

SCRIPTS = {
    name: importlib.import_module(name).Options
    for name in (
        "count_macs", "draw_pictures", "evaluate", "lift", "prepare_cmu", "publish_checkpoint", "reproduce",
        "run_diffusion", "train", "write_tables",
    )
} | {f"{name} of {commands.__name__}": options for commands in (measure, study)
     for name, (_, options) in commands.COMMANDS.items()}  # fmt: skip

# What these mean depends on what the script does; everything else that is spelled alike is the same option.
SEVERAL_MEANINGS = {
    "--annotation", "--conversion", "--data", "--dataset", "--keypoints",  # of one data set, or of several
    "--batch-size",  # windows sampled in a call, windows of a training step, or clips that are timed
    "--checkpoints",  # scored, lifted with, or reproduced with
    "--device", "--precision",  # train.py's are those of Accelerate
    "--fps",  # of motion, of a video, or to be written
    "--frames",  # of each clip that is timed, or of those timed one after the other
    "--hypotheses", "--steps",  # one number, a sweep, or an axis of a measurement
    "--learning-rate",  # with the rule by which it falls
    "--minutes",  # of training, or for everything
    "--max-windows",  # of all clips, or of each host
    "--out",  # with the names of the files
    "--preset",  # with how long its training takes
    "--prune",  # of public weights, or of whatever is lifted with
    "--repeats",  # of everything, or of the timing at the end of a study
    "--sampling",  # HxK, or one pass as well
    "--seed",  # of what is random in the script
    "--size",  # of an image, or of the models
    "--training-steps",  # fixed, or as many as fit into the time
}  # fmt: skip
OLD_SPELLINGS = {
    "--batch", "--checkpoint", "--denoising-steps", "--json", "--num-frames-kept", "--picture", "--samplings",
    "--sft-layers",
}  # fmt: skip


@pytest.fixture(scope="module")
def helps():
    """By option, by help without the default, the scripts that have it."""
    found = defaultdict(lambda: defaultdict(set))
    for script, options in SCRIPTS.items():
        for spelling, text in options_in(printed_help(options)):
            found[spelling][text].add(script)
    return found


def printed_help(options) -> str:
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(printed):
        patched.setenv("COLUMNS", "300")
        patched.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit):
            run_command(lambda _: None, options, ["--help"])
    return printed.getvalue()


def classes_of(options):
    """The dataclasses in which the options are written."""
    for cls in options.__mro__[:-1]:
        yield cls
        for kind in typing.get_type_hints(cls).values():
            if dataclasses.is_dataclass(kind):
                yield from classes_of(kind)


def options_in(printed: str):
    """Spelling and help, without the default, of every option."""
    for entry in re.split(r"^[│\s]+(?=--[a-z])", printed, flags=re.MULTILINE)[1:]:
        words, _, text = " ".join(entry.replace("\n", "  ").split("│")).strip().partition("  ")
        text = re.sub(r"\((default|required)\b.*", "", " ".join(text.split()))
        yield words.split()[0].rstrip(","), text.strip()


def test_the_oracle_sees_the_options_of_every_script(helps):
    assert {"--device", "--num-sft-layers", "--every", "--out"} <= helps.keys()
    assert len(helps["--eta"]) == 1
    assert len(*helps["--eta"].values()) == 5


def test_every_option_says_what_it_is(helps):
    assert [spelling for spelling, texts in helps.items() if not all(texts)] == []


def test_one_thing_has_one_spelling(helps):
    assert helps.keys() & OLD_SPELLINGS == set()


def test_one_spelling_is_one_thing(helps):
    several = {spelling for spelling, texts in helps.items() if len(texts) > 1}
    assert several == SEVERAL_MEANINGS


def test_a_help_is_written_once(helps):
    modules = {cls.__module__ for options in SCRIPTS.values() for cls in classes_of(options)}
    modules |= {
        name for name, module in sys.modules.items() if "htp_diffusion" in name and "tyro" in vars(module)
    }
    written = " ".join(inspect.getsource(sys.modules[name]) for name in sorted(modules))
    written = re.sub(r'"\s+"', "", " ".join(written.split()))
    texts = {text for several in helps.values() for text in several if len(text) > 25}
    assert len(texts) > 60
    assert {text: written.count(text) for text in texts if written.count(text) != 1} == {}
