"""What a test of loading asks: that the weights are there, or that nothing happened."""

import pytest
import torch
from hosts import PUBLIC

from adapters import CheckpointError, load_checkpoint

HOST = PUBLIC[0]
ADVICE = ("weights_only", "\x1b", "add_safe_globals", "trust")


def same(model, state):
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def refused(path, *, match):
    """Loading fails in one line, without PyTorch's advice to read the file unsafely, and changes nothing."""
    target = HOST.make()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(target, path, strict=False)
    error = caught.value
    shown = ""
    while error is not None:
        shown += str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert not any(word in shown for word in ADVICE)
    assert "\n" not in str(caught.value)
    assert same(target, before)
