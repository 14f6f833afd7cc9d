"""What a patch has put on a model, and whether it is still in force.

A patch changes a host's class. Programs change a model after that: a launcher or a compiler sets another
``forward`` on the instance, a parametrization extends the class. Every verb asks here first. Nothing of
this is an attribute of the model or of its class.
"""

import copyreg
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from adapters.adapter import Adapter
from adapters.errors import PatchError

# By what a wrapper of a function names what it wraps: a bound method (first, as it has the attributes of its
# function), functools, torch.compile.
_INNER = ("__func__", "__wrapped__", "_torchdynamo_orig_callable")
_DEPTH = 50  # wrappers around one another, far more than anybody uses


class PatchedType(type):
    """The class of patched classes. They have no name to be imported by: they pickle by how they are made."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What a patched class stands for.

    Attributes:
        host: The class before the patch.
        adapter: What was known about the host.
        forward: The patched forward.
    """

    host: type[nn.Module]
    adapter: Adapter
    forward: Callable[..., Any]


_INSTALLED: dict[type, Installed] = {}


@cache
def patched_class(host: type[nn.Module], adapter: Adapter) -> PatchedType:
    """The subclass of ``host`` whose forward runs through HTP; the same one for the same arguments.

    Its forward is the host's own where an instance has no ``htp`` or has it switched off, so that a wrapper
    which still calls it after ``unpatch`` runs the host.

    Raises:
        PatchError: The host's class has a metaclass of its own, or a forward without named arguments.
    """
    if type(host) is not type:
        raise PatchError(
            f"{host.__name__} has the metaclass {type(host).__name__}; its class cannot be extended"
        )
    signature = inspect.signature(host.forward)
    parameters = list(signature.parameters.values())[1:]
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        raise PatchError(
            f"{host.__name__}.forward{signature} names no arguments; it may be wrapped by a decorator"
        )
    names = [parameter.name for parameter in parameters]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        htp = getattr(self, "htp", None)
        if htp is None or not htp.enabled:
            return host.forward(self, *args, **kwargs)
        given = {**defaults, **dict(zip(names[: len(args)], args[: len(names)], strict=True)), **kwargs}
        if (
            len(args) > len(names)
            or len(given) != len(names)
            or any(name in kwargs for name in names[: len(args)])
        ):
            signature.bind(self, *args, **kwargs)  # raises, in the words of the host's own signature
        return adapter.run(self, *[given[name] for name in names])

    def set_state(self: Any, state: Any) -> None:
        host.__setstate__(self, state)
        link = getattr(self._modules.get("htp"), "belongs_to", None)
        if link is not None:
            link(self)

    forward.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    forward.__doc__ = host.forward.__doc__
    body = {
        "forward": forward,
        "__setstate__": set_state,
        "__module__": host.__module__,
        "__doc__": host.__doc__,
    }
    made = PatchedType(f"HTP{host.__name__}", (host,), body)
    _INSTALLED[made] = Installed(host=host, adapter=adapter, forward=forward)
    return made


def _reduce_class(cls: PatchedType) -> str | tuple[Any, ...]:
    made = _INSTALLED.get(cls)
    return cls.__qualname__ if made is None else (patched_class, (made.host, made.adapter))


copyreg.pickle(PatchedType, _reduce_class)  # pyright: ignore[reportArgumentType]


def installed_class(module: nn.Module) -> type | None:
    """The patched class that a module is an instance of, None if it is of none."""
    return next((cls for cls in type(module).__mro__ if cls in _INSTALLED), None)


def installed(host: nn.Module) -> Installed:
    """What the patch has put on a host, still in force.

    Raises:
        PatchError: The model has another class or another forward by now, which do not run the patched one.
    """
    cls = installed_class(host)
    if cls is None:
        raise PatchError(
            f"the model was patched, but something has since set its class to {type(host).__name__}, which "
            "does not run HTP; call unpatch(model) and patch it again"
        )
    made = _INSTALLED[cls]
    name = made.host.__name__
    over = vars(host).get("forward")
    if over is not None and not _leads_to(over, made.forward, host):
        raise PatchError(
            f"something has set forward on the {name} since the patch ({_name(over)}), and it does not lead "
            "to the patched forward of this model; take it off (del model.forward) and call again"
        )
    if not _leads_to(type(host).forward, made.forward, host):
        raise PatchError(
            f"the class {type(host).__name__}, set since the patch, has a forward that does not lead to the "
            f"patched one of {name}; set model.__class__ back and call again"
        )
    return made


def class_without(host: nn.Module) -> type[nn.Module]:
    """The class that a host has once the patch is undone.

    A parametrized model's class is put upon the host's own one; what it parametrizes stays.

    Raises:
        PatchError: Something else extends the patched class.
    """
    cls = type(host)
    if cls in _INSTALLED:
        return _INSTALLED[cls].host
    below = installed_class(host)
    if below is None:
        return cls
    if cls.__bases__ == (below,) and parametrize.is_parametrized(host):
        return type(cls.__name__, (_INSTALLED[below].host,), dict(vars(cls)))
    raise PatchError(
        f"the class {cls.__name__}, set since the patch, extends the patched "
        f"{_INSTALLED[below].host.__name__}, which cannot be taken from under it; set model.__class__ back "
        "and call again"
    )


def _leads_to(function: Any, forward: Callable[..., Any], host: nn.Module) -> bool:
    """Whether calling a function ends in ``forward`` on ``host``, by what its wrappers say of themselves."""
    for _ in range(_DEPTH):
        if function is forward:
            return True
        if getattr(function, "__self__", host) is not host:  # bound to another model, as after a deepcopy
            return False
        wrapped = (getattr(function, name, None) for name in _INNER)
        function = next((inner for inner in wrapped if inner is not None), None)
    return False


def _name(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{name}"
