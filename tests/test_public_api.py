"""The public API, written out in public_api.txt: it changes only where somebody means it to.

PYTHONPATH=. python tests/test_public_api.py writes the file anew; its difference belongs into the changelog.
"""

import inspect
import types
import typing
from collections.abc import Iterator
from pathlib import Path

from torch import nn

import adapters
import htp_modules

INVENTORY = Path(__file__).with_name("public_api.txt")
PACKAGES = (htp_modules, adapters)


def inventory() -> str:
    """A line for every public name, with its signature, and one for each public member of a class."""
    return "".join(f"{line}\n" for package in PACKAGES for line in lines_of(package))


def lines_of(package: types.ModuleType) -> Iterator[str]:
    for name in sorted(package.__all__):
        value, full = getattr(package, name), f"{package.__name__}.{name}"
        if not inspect.isclass(value):
            yield full + (signature(value) if callable(value) else f": {type(value).__name__}")
            continue
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {full}{signature(value)}" + (f" is {bases}" if bases else "")
        yield from (f"    {full}.{member}" for member in members(value))


def members(cls: type) -> Iterator[str]:
    """Methods and properties of a class, also those that it inherits inside these packages."""
    ours = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in ("htp_modules", "adapters")]
    for name in sorted({name for base in ours for name in vars(base) if not name.startswith("_")}):
        value = next(vars(base)[name] for base in ours if name in vars(base))
        if isinstance(value, property):
            yield f"{name}: {spelled(inspect.signature(value.fget).return_annotation)}"
        elif isinstance(value, (classmethod, staticmethod)):
            yield f"{name}{signature(getattr(cls, name))}"
        elif inspect.isfunction(value):
            yield f"{name}{signature(value)}"


def signature(value: object) -> str:
    """Names, kinds, types and defaults of the arguments; nothing where a class takes a foreign base's."""
    if inspect.isclass(value) and value.__init__ is nn.Module.__init__:
        return ""
    try:
        found = inspect.signature(value)
    except ValueError:
        return ""
    shown, kinds = [], [parameter.kind for parameter in found.parameters.values()]
    for place, parameter in enumerate(found.parameters.values()):
        if parameter.kind is parameter.KEYWORD_ONLY and not {
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        } & set(kinds[:place]):
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        text = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {spelled(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {default(parameter.default)}"
        shown.append(text)
    returned = found.return_annotation
    return f"({', '.join(shown)})" + ("" if returned is found.empty else f" -> {spelled(returned)}")


def default(value: object) -> str:
    """A default; a function by its name, since its address changes."""
    return getattr(value, "__name__", None) or repr(value)


def spelled(annotation: object) -> str:
    """A type, spelled alike by every version of Python."""
    if annotation in (None, type(None)):
        return "None"
    if isinstance(annotation, (str, typing.TypeVar)):
        return str(annotation).lstrip("~")
    if isinstance(annotation, list):
        return f"[{', '.join(map(spelled, annotation))}]"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(spelled, arguments))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        return f"{spelled(origin)}[{', '.join('...' if one is ... else spelled(one) for one in arguments)}]"
    return getattr(annotation, "__name__", None) or str(annotation)


def test_the_public_api_is_the_inventory():
    assert inventory() == INVENTORY.read_text(encoding="utf-8"), (
        "The public API is not that of tests/public_api.txt. If the change is meant, renew the file with "
        "`PYTHONPATH=. python tests/test_public_api.py` and tell it in CHANGELOG.md."
    )


def test_the_inventory_has_names_signatures_and_members():
    text = inventory()
    for package in PACKAGES:
        assert all(f"{package.__name__}.{name}" in text for name in package.__all__)
    assert "adapters.unpatch(model: Model) -> Model\n" in text
    assert "class htp_modules.HTPConfig(*, num_neighbors: int | float = 0.66" in text
    assert "htp_modules.TemporalMask.density: " in text
    assert " object at 0x" not in text


if __name__ == "__main__":
    INVENTORY.write_text(inventory(), encoding="utf-8")
