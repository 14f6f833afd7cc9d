"""Random sequences of everything that is done to a model, on all hosts, against a model of the contract.

Oracle: a plain copy of the host, never patched, whose weights follow; where pruned, a copy of it patched anew
with the same additions. 50 sequences; more, and others, by hand:

pytest tests/adapters/contract/test_sequences.py --sequences 2000 --hypothesis-profile thorough
"""

import io
import pickle
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from types import MethodType

import hosts
import pytest
import torch
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import nn
from torch.optim.swa_utils import AveragedModel

import adapters
from htp_modules import HTPConfig

NAMED = {host.name: host for host in hosts.ALL}
CONFIGS = st.builds(
    HTPConfig,
    num_neighbors=st.integers(1, 9) | st.sampled_from([0.5, 1.0]),
    num_keep=st.integers(1, 10) | st.sampled_from([0.3, 1.0]),
    num_sft_layers=st.integers(0, 2),
    density_neighbors=st.integers(1, 3),
    recovery=st.sampled_from(["interpolate", "cross_attention"]),
    spatial_gcn=st.booleans(),
)
WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "ModuleDict": lambda model: nn.ModuleDict({"lifter": model}),
    "AveragedModel": AveragedModel,
}


def over(function):
    """A forward set over the class's own, as accelerate does: it says what it wraps."""

    def wrapper(self, *inputs):
        return function(self, *inputs)

    wrapper.__wrapped__ = function
    return wrapper


class Life(RuleBasedStateMachine):
    """A model that is patched, changed, copied, wrapped and saved."""

    @initialize(name=st.sampled_from(sorted(NAMED)), training=st.booleans())
    def begin(self, name, training):
        torch.manual_seed(0)
        self.host = NAMED[name]
        self.model = self.inner = self.host.make()
        self.plain, self.inputs = deepcopy(self.model), self.host.inputs()
        self.type, self.keys = type(self.model), list(self.model.state_dict())
        self.trains = [p.requires_grad for p in self.model.parameters()]  # FinePOSE's text encoder does not
        self.config, self.frozen, self.over, self.wrapped = None, False, False, 0
        self.known = None  # what it has to compute, until a rule changes that

    def find_inner(self):
        """The host in the model, by its class, whatever is around it."""
        (self.inner,) = (m for m in self.model.modules() if isinstance(m, self.type))

    @property
    def patched(self):
        return self.config is not None

    def expected(self):
        """What the model has to compute."""
        if not self.patched:
            return self.plain(*self.inputs)
        with pytest.MonkeyPatch.context() as patches:  # what the model's own patch has checked
            patches.setattr("adapters.patching.check_computation", lambda *_, **__: None)
            twin = self.host.patch(deepcopy(self.plain), self.config, from_scratch=self.frozen)
        twin.htp.load_state_dict(self.inner.htp.state_dict())
        return twin(*self.inputs)

    @invariant()
    def the_contract_holds(self):
        with torch.no_grad():
            if self.known is None:
                self.known = self.expected()
            assert torch.equal(self.inner(*self.inputs), self.known)
        assert adapters.is_patched(self.model) == self.patched
        assert isinstance(self.inner, self.type)
        assert (type(self.inner) is self.type) == (not self.patched)
        found = [key for key in self.inner.state_dict() if not key.startswith("htp.")]
        assert found == self.keys
        assert ("htp" in dict(self.inner.named_children())) == self.patched
        assert not {"adapter", "host", "installed"} & set(dir(self.inner))
        assert ("forward" in vars(self.inner)) == self.over

    @rule(config=CONFIGS, from_scratch=st.booleans())
    def patch(self, config, from_scratch):
        if self.patched:
            with pytest.raises(adapters.PatchError, match="patched already"):
                self.host.patch(self.model, config)
        elif self.over:
            with pytest.raises(adapters.UnrecognisedHostError, match="a forward of its class"):
                self.host.patch(self.model, config)
        else:
            assert self.host.patch(self.model, config, from_scratch=from_scratch) is self.model
            self.config, self.frozen, self.known = config, from_scratch, None

    @rule()
    def unpatch(self):
        if self.patched:
            assert adapters.unpatch(self.model) is self.model
            assert [p.requires_grad for p in self.inner.parameters()] == self.trains
            self.config = self.known = None
        else:
            with pytest.raises(adapters.PatchError, match="not patched"):
                adapters.unpatch(self.model)

    @precondition(lambda self: self.patched)
    @rule(config=CONFIGS)
    def assign_config(self, config):
        config = replace(config, recovery=self.config.recovery, spatial_gcn=self.config.spatial_gcn)
        adapters.htp_of(self.model).config = self.config = config
        self.known = None

    @rule(fails=st.booleans())
    def run_unpruned(self, fails):
        if not self.patched:
            with pytest.raises(adapters.PatchError, match="not patched"), adapters.unpruned(self.model):
                pass
            return
        with suppress(KeyError), adapters.unpruned(self.model), torch.no_grad():
            assert torch.equal(self.inner(*self.inputs), self.plain(*self.inputs))
            if fails:
                raise KeyError

    @rule()
    def forward_fails(self):
        name = "htp.mgptp" if self.patched else "head" if hasattr(self.inner, "head") else "regress_head"
        module = self.inner.get_submodule(name)
        handle = module.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            self.inner(*self.inputs)
        handle.remove()

    @rule()
    def describe(self):
        if self.patched:
            found = adapters.describe(self.model)
            assert (found.config, found.frames) == (self.config, hosts.FRAMES)
        elif self.over:
            with pytest.raises(adapters.UnrecognisedHostError):
                adapters.describe(self.model)
        else:
            with pytest.raises(adapters.PatchError, match="not patched; it is a"):
                adapters.describe(self.model)

    @rule(seed=st.integers(0, 9))
    def train(self, seed):
        generator = torch.Generator().manual_seed(seed)
        own, other = dict(self.inner.named_parameters()), dict(self.plain.named_parameters())
        self.known = None
        with torch.no_grad():
            for name, parameter in own.items():
                change = 0.01 * torch.randn(parameter.shape, generator=generator)
                parameter.add_(change)
                if name in other:
                    other[name].add_(change)

    @rule(keep_original=st.booleans())
    def copy(self, keep_original):
        twin = deepcopy(self.model)
        if self.patched and not keep_original:
            adapters.unpatch(self.model)  # the copy is independent
        if not keep_original:
            self.model = twin
            self.find_inner()

    @precondition(lambda self: not self.over)
    @rule(whole=st.booleans())
    def pickled(self, whole):
        if whole:
            self.model = pickle.loads(pickle.dumps(self.model))
        else:
            file = io.BytesIO()
            torch.save(self.inner.state_dict(), file)
            file.seek(0)
            self.inner.load_state_dict(torch.load(file, weights_only=True))
        self.find_inner()

    @rule()
    def save_and_load(self):
        path = self.folder / "model.pt"
        torch.save({"state_dict": self.model.state_dict()}, path)
        target = self.host.make()
        if self.patched:
            self.host.patch(target, self.config, from_scratch=self.frozen)
        report = adapters.load_checkpoint(target, path, strict=self.wrapped == 0)
        assert report.missing == ()
        with torch.no_grad():
            assert torch.equal(target(*self.inputs), self.inner(*self.inputs))

    @rule(kind=st.sampled_from(sorted(WRAPPERS)))
    def wrap(self, kind):
        assume(self.wrapped < 3)
        self.model = WRAPPERS[kind](self.model)
        self.wrapped += 1
        self.find_inner()

    @rule()
    def unwrap(self):
        self.model, self.wrapped = self.inner, 0

    @precondition(lambda self: not self.over)
    @rule()
    def set_a_forward_over_it(self):
        # A bound method: deepcopy binds it to the copy.
        self.inner.forward = MethodType(over(type(self.inner).forward), self.inner)
        self.over = True

    @precondition(lambda self: self.over)
    @rule()
    def take_it_off(self):
        del self.inner.forward
        self.over = False


class TestLife(Life.TestCase):
    @pytest.fixture(autouse=True)
    def _begin(self, tmp_path, sequences):
        Life.folder = tmp_path
        type(self).settings = settings(max_examples=sequences, stateful_step_count=15, deadline=None)
