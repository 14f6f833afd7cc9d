"""Wrapped hosts: accepted, and kept wrapped."""

import os
import subprocess
import sys
from pathlib import Path

import hosts
import pytest
import torch
from torch.nn.parallel import DataParallel
from torch.testing import assert_close

import adapters

PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}
WORKER = Path(__file__).with_name("worker.py")


def test_data_parallel(host, monkeypatch):
    # Counting takes longer than all the rest, and does not see the wrapper; test_describe counts.
    monkeypatch.setattr("adapters.counting.matmul_macs", lambda model, inputs: len(inputs))
    model, inputs = DataParallel(host.make()), host.inputs()
    inner, expected = model.module, model(*inputs)
    assert host.patch(model, **PRUNED) is model
    assert model.module is inner
    assert adapters.is_patched(model)
    assert adapters.is_patched(inner)
    assert adapters.htp_of(model) is inner.htp
    pruned = model(*inputs)
    assert torch.equal(pruned, inner(*inputs))
    assert not torch.equal(pruned, expected)
    with adapters.unpruned(model):
        assert torch.equal(model(*inputs), expected)
    assert adapters.describe(model) == adapters.describe(inner)
    assert torch.equal(adapters.unpatch(model)(*inputs), expected)


def test_replicas_are_of_the_patched_class(host):
    # What DataParallel makes on each device: shallow copies whose parameters are plain tensors.
    model, inputs = host.patch(host.make(), **PRUNED), host.inputs()

    def replicate(module):
        replica = module._replicate_for_data_parallel()
        for name, parameter in module._parameters.items():
            if parameter is None:
                replica._parameters[name] = None
            else:
                setattr(replica, name, parameter.detach().clone())
        for name, buffer in module._buffers.items():
            setattr(replica, name, buffer)
        for name, child in module._modules.items():
            if child is not None:
                replica._modules[name] = replicate(child)
        return replica

    replica = replicate(model)
    assert type(replica) is type(model)
    # Not bit for bit: parameters without gradients may take another attention kernel.
    assert_close(replica(*inputs), model(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.unhooked
@pytest.mark.filterwarnings("ignore::FutureWarning:torch", "ignore::DeprecationWarning:torch")
def test_a_compiled_model_is_patched_and_unpatched_underneath():
    torch._dynamo.reset()
    host = hosts.TRACED[0]
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        assert_close(compiled(*inputs), expected, rtol=1e-4, atol=1e-4)
        assert host.patch(compiled, num_neighbors=4, num_keep=3, num_sft_layers=0) is compiled
        assert compiled._orig_mod is model
        assert_close(compiled(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(compiled(*inputs), expected, rtol=1e-4, atol=1e-4)
        adapters.unpatch(compiled)
        assert_close(compiled(*inputs), expected, rtol=1e-4, atol=1e-4)


def test_two_processes_train_alike(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(WORKER), str(tmp_path / "store")]
    workers = [
        subprocess.Popen(
            [*command, str(rank)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for rank in range(2)
    ]
    try:
        outputs = [worker.communicate(timeout=400)[0].decode() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(outputs)
