"""Probe: looks for what a host must have, and remembers what is not there."""

import re
from collections.abc import Iterable

from torch import Tensor, nn

from adapters.errors import UnrecognisedHostError

BLOCK_PARTS = {"norm1", "attn", "drop_path", "norm2", "mlp"}
ATTENTION_PARTS = {"qkv", "proj", "attn_drop", "proj_drop"}
_SHOWN = 3  # differences that a message names


class Probe:
    """Reads a host without touching it.

    Args:
        host: The module to read.
        name: The kind of host that is looked for.
    """

    def __init__(self, host: nn.Module, name: str) -> None:
        self.host = host
        self.name = name
        self.looked = 0
        self.missing: list[str] = []

    def _find(self, path: str) -> object:
        found: object = self.host
        for part in path.split(".") if path else ():
            found = getattr(found, part, None)
        return found

    def module(self, path: str, kind: type[nn.Module] = nn.Module) -> nn.Module | None:
        """The submodule at ``path``, if it is a ``kind``."""
        found = self._find(path)
        self.require(isinstance(found, kind), f"{path}, a {kind.__name__}")
        return found if isinstance(found, kind) else None

    def number(self, path: str) -> int:
        """The integer attribute at ``path``, 0 if there is none."""
        found = self._find(path)
        whole = isinstance(found, int) and not isinstance(found, bool)
        self.require(whole, f"{path}, an int")
        return found if isinstance(found, int) and whole else 0

    def table(self, path: str, ndim: int) -> tuple[int, ...]:
        """The shape of the position table at ``path``, zeros if there is none."""
        found = self._find(path)
        shape = tuple(found.shape) if isinstance(found, Tensor) else ()
        fits = len(shape) == ndim and shape[:1] == (1,)
        self.require(fits, f"{path}, a table of {ndim} axes, the first of size 1")
        return shape if fits else (0,) * ndim

    def require(self, holds: bool, what: str) -> None:
        """Note ``what`` unless it holds, or is noted already."""
        self.looked += 1
        if not holds and what not in self.missing:
            self.missing.append(what)

    def nothing_but(self, path: str, known: Iterable[str]) -> None:
        """Note each submodule or parameter at ``path`` outside ``known``: a part whose use is unknown."""
        found = self._find(path)
        if not isinstance(found, nn.Module):
            return
        names = [name for name, _ in found.named_children()]
        names += [name for name, _ in found.named_parameters(recurse=False)]
        unknown = [f"{path}.{name}" if path else name for name in names if name not in set(known)]
        self.require(not unknown, f"no parts of unknown use (it has {', '.join(unknown)})")

    def attention(self, path: str) -> None:
        """Check a plain attention over one axis, as every host names its parts."""
        self.module(f"{path}.qkv")
        self.module(f"{path}.proj")
        self.number(f"{path}.num_heads")
        self.require(
            not self._find(f"{path}.comb"), f"{path}.comb false: attention over frames, not channels"
        )
        self.nothing_but(path, ATTENTION_PARTS)

    def block(self, path: str) -> None:
        """Check a pre-norm transformer block."""
        for part in ("norm1", "norm2", "mlp"):
            self.module(f"{path}.{part}")
        self.attention(f"{path}.attn")
        self.require(not self._find(f"{path}.changedim"), f"{path}.changedim false: one width throughout")
        self.nothing_but(path, BLOCK_PARTS)

    def finish(self) -> None:
        """End the probe.

        Raises:
            UnrecognisedHostError: Something was missing.
        """
        self.require(
            "forward" not in vars(self.host),
            "a forward of its class (something set one on the instance: patch first, then compile or wrap)",
        )
        self.require(not hasattr(self.host, "htp"), "the name htp free for the added modules")
        if self.missing:
            name = type(self.host).__name__
            raise UnrecognisedHostError(
                f"{name} is not a {self.name}. Looked for and not found: {self._listed()}",
                tuple(self.missing),
                1 - len(self.missing) / self.looked,
            )

    def _listed(self) -> str:
        """What is missing, each block's twin left out, and no more than a few."""
        kinds: dict[str, str] = {}
        for entry in self.missing:
            kinds.setdefault(re.sub(r"\.\d+(?=\.)", ".*", entry), entry)
        shown, more = list(kinds.values())[:_SHOWN], len(kinds) - _SHOWN
        return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
