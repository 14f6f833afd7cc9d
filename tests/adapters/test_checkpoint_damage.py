"""Damaged checkpoints: weights or one error of ours, in bounded memory, and nothing changes but by loading.

25 mutations of each file, 2,000 with ``--hypothesis-profile=thorough``.
"""

import argparse
import io
import json
import resource
import warnings

import numpy as np
import pytest
import torch
from hosts import PUBLIC
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from adapters import CheckpointError, load_checkpoint

HOST = PUBLIC[0]


def _saved(**options):
    buffer = io.BytesIO()
    content = {
        "args": argparse.Namespace(lr=0.1),
        "random_state": np.random.RandomState(3),
        "state_dict": HOST.make().state_dict(),
        "optimizer": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2)}}},
    }
    torch.save(content, buffer, **options)
    return buffer.getvalue()


FILES = {
    "zip": _saved(),
    "legacy": _saved(_use_new_zipfile_serialization=False),
    "safetensors": save(HOST.make().state_dict()),
    "index": json.dumps({"weight_map": {"head.1.bias": "a.safetensors", "head.1.weight": "b.bin"}}).encode(),
}


def mutations(content):
    """Bytes of a file, some changed, cut out, doubled or replaced by others of it."""
    place = st.integers(0, len(content) - 1)
    # The structure lies at the ends of the files; damage to the numbers between makes other numbers.
    near = st.one_of(place, st.integers(0, min(4000, len(content) - 1)), place.map(lambda x: -1 - x // 20))
    change = st.tuples(
        near, st.sampled_from(["set", "cut", "double", "copy"]), st.binary(min_size=1, max_size=8), place
    )
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: apply(content, changes))


def apply(content, changes):
    for where, kind, new, other in changes:
        where %= max(len(content), 1)
        end = where + len(new)
        middle = {
            "set": new,
            "cut": b"",
            "double": 2 * content[where:end],
            "copy": content[other : other + len(new)],
        }[kind]
        content = content[:where] + middle + content[end:]
    return content


@pytest.mark.unhooked
@pytest.mark.parametrize("kind", FILES)
def test_mutated_files(kind, tmp_path):
    model = HOST.make()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    save_to = tmp_path / ("a.index.json" if kind == "index" else "a.pt")

    @given(mutations(FILES[kind]))
    def load(content):
        save_to.write_bytes(content)
        model.load_state_dict(state)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's about numbers that are not finite and such
            try:
                matched, said = load_checkpoint(model, save_to, strict=False).matched, ""
            except CheckpointError as error:
                matched, said = (), str(error)
        assert "\n" not in said
        assert "weights_only" not in said
        found = model.state_dict()
        assert all(torch.equal(found[key], state[key]) for key in set(state) - set(matched))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown * 1024 < 2 * len(content) + 200 * 2**20

    load()
