"""One of two gloo processes. Oracle: one process on both halves of the batch has the same gradients."""

import sys
from copy import deepcopy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [
    str(ROOT),
    str(ROOT / "benchmarks"),
    *(str(ROOT / "tests" / "adapters" / f) for f in (".", "upstream")),
]

import hosts  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402
from torch.testing import assert_close  # noqa: E402

import adapters  # noqa: E402

# Batch norms see half the batch in each process, so that the gradients are compared in evaluation mode.
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 0, "spatial_gcn": True}


def backward(model, inputs):
    model.zero_grad()
    model(*inputs).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def has_unused(host):
    # FinePOSE encodes its prompts without gradients, so that the learned words of each get none.
    return host.kind.startswith("finepose")


def inputs_of(host):
    inputs = host.inputs(batch=4)
    # A track of FinePOSE reads the text that its place in the batch tells: in half a batch another one's.
    return (*inputs[:3], *(words[:1].expand_as(words) for words in inputs[3:]))


def check(host, rank, *, first, from_scratch):
    torch.manual_seed(0)
    model, inputs = host.make(), inputs_of(host)
    options = {"find_unused_parameters": has_unused(host), "gradient_as_bucket_view": not first}
    half = tuple(x[2 * rank : 2 * rank + 2] for x in inputs)
    torch.manual_seed(rank)  # what is added starts differently in each process, and is made the same
    if first:
        wrapped = DistributedDataParallel(host.patch(model, from_scratch=from_scratch, **PRUNED), **options)
    else:
        wrapped = DistributedDataParallel(model, **options).eval()
        reducer = wrapped.reducer
        assert host.patch(wrapped, from_scratch=from_scratch, **PRUNED) is wrapped
        assert wrapped.module is model
        assert wrapped.gradient_as_bucket_view
        assert wrapped.find_unused_parameters == has_unused(host)
        assert wrapped.reducer is not reducer
        assert not wrapped.training
    alone = deepcopy(model)
    backward(wrapped, half)  # the next pass raises if a parameter was left out of this one
    gradients = backward(wrapped, half)
    for name, grad in backward(alone, inputs).items():
        assert_close(gradients[f"module.{name}"], grad, rtol=1e-4, atol=1e-6)
    adapters.unpatch(wrapped)
    plain = deepcopy(model)
    gradients = backward(wrapped, half)
    for name, grad in backward(plain, inputs).items():
        assert_close(gradients[f"module.{name}"], grad, rtol=1e-4, atol=1e-6)


def check_refused(host):
    """Without find_unused_parameters, the host as it is fails in its second step."""
    wrapped, inputs = DistributedDataParallel(host.make()), inputs_of(host)
    backward(wrapped, inputs)
    with pytest.raises(RuntimeError, match="find_unused_parameters=True"):
        backward(wrapped, inputs)


def main():
    store, rank = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for host in hosts.GRAPHS:
        for first in (True, False):
            check(host, rank, first=first, from_scratch=False)
    check(hosts.GRAPHS[0], rank, first=False, from_scratch=True)
    for host in filter(has_unused, hosts.GRAPHS):
        check_refused(host)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
