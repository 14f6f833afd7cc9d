import copy
import pickle

import pruning_oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import DTYPES, Network, random_mask
from torch.testing import assert_close
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from htp_modules import HTPConfig, KeptFrames, TemporalMask, record

sizes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 6))


@given(sizes)
def test_dense(size):
    mask = TemporalMask.dense(*size)
    batch, joints, frames = size
    assert mask.keep.shape == (batch, joints, frames, frames)
    assert float(mask.density) == 1.0
    assert mask.num_frames == frames
    assert bool((mask.additive(torch.float32) == 0).all())
    assert mask.validate(frames) is mask


@given(sizes)
def test_facts_equal_the_slow_ones(size):
    mask = random_mask(*size)
    keep = mask.keep.tolist()
    expected = [pruning_oracles.frame_weights(clip) for clip in keep]
    assert_close(mask.frame_weights(), torch.tensor(expected))
    entries = [v for clip in keep for joint in clip for row in joint for v in row]
    assert float(mask.density) == pytest.approx(sum(entries) / len(entries))
    assert mask.folded().tolist() == [joint for clip in keep for joint in clip]


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
def test_additive(dtype):
    mask = random_mask(1, 2, 4)
    additive = mask.additive(dtype)
    assert additive.dtype == dtype
    expected = [0.0 if v else -torch.inf for v in mask.keep.flatten().tolist()]
    assert additive.flatten().tolist() == expected


def with_bias(mask, dtype=torch.float32):
    return TemporalMask(mask.keep, mask.additive(dtype))


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
def test_a_mask_that_carries_m_plus_gives_what_it_would_make(dtype):
    mask = random_mask(1, 2, 4)
    carried = with_bias(mask, torch.bfloat16).validate()
    assert carried.additive(dtype).dtype == dtype
    assert torch.equal(carried.additive(dtype), mask.additive(dtype))
    assert carried.additive() is carried.bias
    assert mask.additive().dtype == torch.float32


def test_m_plus_moves_with_its_mask_and_is_copied_with_it():
    mask = with_bias(random_mask(1, 2, 3))
    assert mask.to("meta").bias.is_meta
    for other in (copy.deepcopy(mask), pickle.loads(pickle.dumps(mask)), mask.to("cpu")):
        assert torch.equal(other.validate().bias, mask.bias)
    # It stays behind at the border of an exported program, and with a choice of frames.
    assert len(_pytree.tree_leaves(mask)) == 1
    assert _pytree.tree_map(torch.clone, mask).bias is None
    assert mask.restrict(KeptFrames(torch.tensor([[0, 2]]), 3)).bias is None


class Divisions(TorchDispatchMode):
    """Counts how often M⁺ is made: each time by one division in place."""

    made = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.made += func is torch.ops.aten.div_.Tensor and args[0].ndim == 4
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("autocast", [True, False])
def test_m_plus_is_made_once_for_a_call(autocast):
    network = Network(depth=5, config=HTPConfig(num_sft_layers=3)).eval()
    x = torch.randn(1, 9, 3, 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), record(network) as seen:
        with Divisions() as counter:
            network(x)
        assert counter.made == 1
    dtype = torch.bfloat16 if autocast else torch.float32
    assert seen.masks[0].validate().additive().dtype == dtype


@given(sizes)
def test_frame_weights_by_another_mean(size):
    mask = random_mask(*size)
    pool = torch.nn.AdaptiveAvgPool1d(1)
    assert torch.equal(mask.frame_weights(pool), mask.frame_weights())
    most = mask.frame_weights(lambda marks: marks.amax(dim=-1, keepdim=True))
    assert torch.equal(most, mask.keep.any(dim=1).float())


@given(sizes, st.data())
def test_restrict(size, data):
    batch, _, frames = size
    mask = random_mask(*size)
    num_keep = data.draw(st.integers(1, frames))
    rows = [sorted(data.draw(st.permutations(range(frames)))[:num_keep]) for _ in range(batch)]
    restricted = mask.restrict(KeptFrames(torch.tensor(rows), frames)).validate()
    keep = mask.keep.tolist()
    expected = [[[[m[i][j] for j in r] for i in r] for m in clip] for clip, r in zip(keep, rows, strict=True)]
    assert restricted.keep.tolist() == expected


def test_to_keeps_the_mask():
    mask = random_mask(1, 2, 3)
    assert torch.equal(mask.to("cpu").keep, mask.keep)
    assert mask.to("meta").keep.is_meta
    assert TemporalMask.dense(1, 2, 3, device="meta").keep.is_meta


def test_frozen():
    mask = TemporalMask.dense(1, 1, 2)
    with pytest.raises(AttributeError):
        mask.keep = mask.keep
    assert hash(mask) == hash(mask)


@pytest.mark.parametrize(
    "make", [lambda: random_mask(1, 2, 3), lambda: KeptFrames(torch.tensor([[0, 2]]), 3)]
)
def test_copies_and_pytrees(make):
    result = make()
    (tensor,) = _pytree.tree_leaves(result)
    copies = [
        copy.deepcopy(result),
        pickle.loads(pickle.dumps(result)),
        _pytree.tree_map(torch.clone, result),
    ]
    for other in copies:
        assert type(other) is type(result)
        (leaf,) = _pytree.tree_leaves(other)
        assert torch.equal(leaf, tensor)
        assert leaf.data_ptr() != tensor.data_ptr()
        assert _pytree.tree_structure(other) == _pytree.tree_structure(result)
    # PyTorch hangs other things on the same tree.
    shapes = _pytree.tree_map(lambda t: str(t.shape), {"out": (result, 1.0 * tensor)})
    assert isinstance(shapes["out"][0], type(result))
