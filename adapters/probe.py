"""Probe: looks for what a host must have, and remembers what is not there."""

from collections.abc import Iterable

from torch import Tensor, nn

from adapters.errors import UnrecognisedHostError

BLOCK_PARTS = {"norm1", "attn", "drop_path", "norm2", "mlp"}
ATTENTION_PARTS = {"qkv", "proj", "attn_drop", "proj_drop"}


class Probe:
    """Reads a host without touching it.

    Args:
        host: The module to read.
        name: The kind of host that is looked for.
    """

    def __init__(self, host: nn.Module, name: str) -> None:
        self.host = host
        self.name = name
        self.missing: list[str] = []

    def _find(self, path: str) -> object:
        found: object = self.host
        for part in path.split(".") if path else ():
            found = getattr(found, part, None)
        return found

    def module(self, path: str, kind: type[nn.Module] = nn.Module) -> nn.Module | None:
        """The submodule at ``path``, if it is a ``kind``."""
        found = self._find(path)
        if isinstance(found, kind):
            return found
        self.missing.append(f"{path}, a {kind.__name__}")
        return None

    def number(self, path: str) -> int:
        """The integer attribute at ``path``, 0 if there is none."""
        found = self._find(path)
        if isinstance(found, int) and not isinstance(found, bool):
            return found
        self.missing.append(f"{path}, an int")
        return 0

    def table(self, path: str, ndim: int) -> tuple[int, ...]:
        """The shape of the position table at ``path``, zeros if there is none."""
        found = self._find(path)
        if isinstance(found, Tensor) and found.ndim == ndim and found.shape[0] == 1:
            return tuple(found.shape)
        self.missing.append(f"{path}, a table of {ndim} axes, the first of size 1")
        return (0,) * ndim

    def require(self, holds: bool, what: str) -> None:
        """Note ``what`` unless it holds."""
        if not holds:
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
        if "forward" in vars(self.host):
            self.missing.append("a forward that nobody replaced on the instance")
        if hasattr(self.host, "htp"):
            self.missing.append("the name htp free for the added modules")
        if self.missing:
            listed = "; ".join(self.missing)
            raise UnrecognisedHostError(
                f"{type(self.host).__name__} is not a {self.name}. Looked for and not found: {listed}",
                tuple(self.missing),
            )
