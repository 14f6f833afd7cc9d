import pytest
import torch
from networks import Network

from htp_modules import MGPTP, TCEP, record


def hooks(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_collects_what_the_modules_returned_in_order():
    network = Network().eval()
    x = torch.randn(2, 9, 3, 8)
    with record(network) as seen:
        network(x)
        network(x[:1, :5])
    assert [m.keep.shape for m in seen.masks] == [(2, 3, 9, 9), (1, 3, 5, 5)]
    assert [k.num_frames for k in seen.kept] == [9, 5]
    _, mask = network.htp.tcep(network.spatial[0](x))
    assert torch.equal(seen.masks[0].keep, mask.keep)


def test_a_module_may_be_recorded_by_itself():
    tcep, prune = TCEP(4, 5).eval(), MGPTP(2)
    x = torch.randn(1, 5, 2, 4)
    with record(tcep) as masks:
        out, mask = tcep(x)
    with record(prune) as frames:
        _, kept = prune(out, mask)
    assert masks.masks == [mask]
    assert frames.kept == [kept]
    assert masks.kept == frames.masks == []


def test_hooks_go_away():
    network = Network().eval()
    x = torch.randn(1, 9, 3, 8)
    with record(network) as outer, record(network) as inner:
        network(x)
    network(x)
    assert hooks(network) == 0
    assert len(outer.masks) == len(inner.masks) == 1
    with pytest.raises(ZeroDivisionError), record(network):
        raise ZeroDivisionError
    assert hooks(network) == 0


def test_output_is_the_same_under_record():
    network = Network().eval()
    x = torch.randn(1, 9, 3, 8)
    expected = network(x)
    with record(network):
        assert torch.equal(network(x), expected)


def test_nothing_to_record():
    with record(torch.nn.Linear(2, 2)) as seen:
        pass
    assert seen.masks == seen.kept == []


@pytest.mark.unhooked
def test_a_model_that_was_compiled_before_is_recorded_too():
    network = Network().eval()
    x = torch.randn(1, 9, 3, 8)
    compiled = torch.compile(network, backend="eager")
    expected = compiled(x)
    with record(compiled) as seen:
        assert torch.equal(compiled(x), expected)
    assert [len(seen.masks), len(seen.kept)] == [1, 1]
    assert hooks(network) == 0
