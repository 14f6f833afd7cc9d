"""The imports run one way: a fence around the architecture, read from the source."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {"torch", "jaxtyping"}
# Inside htp_modules a file imports from the rows above its own only.
LAYERS = (
    {"errors", "pytree"},
    {"config", "checks", "conflict", "precision"},
    {"selection", "kept", "graph", "attention"},
    {"mask", "block"},
    {"tcep", "sft_mhsa", "mgptp", "recovery"},
    {"htp"},
    {"record"},
    {"__init__"},
    {"__main__"},
)
# `python -m htp_modules` is a command that nothing imports: it alone looks at what is built on the library.
COMMAND = "htp_modules/__main__.py"
# Inside htp_diffusion a room imports from the rooms above its own only.
ROOMS = (
    "base",
    "pose",
    "data",
    "models",
    "diffusion",
    "scoring",
    "training",
    "speed",
    "comparison",
    "lifting",
    "studies",
    "reproduction",
)


def imports(path):
    """(module, names) of every import in a file, also of those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield node.module, tuple(alias.name for alias in node.names)


def files(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", files("htp_modules"), ids=lambda p: p.stem)
def test_inside_the_library(path):
    layer = next((i for i, names in enumerate(LAYERS) if path.stem in names), None)
    assert layer is not None, f"{path.stem} has no place in the architecture yet"
    below = set().union(*LAYERS[:layer])
    for module, _ in imports(path):
        package, _, rest = module.partition(".")
        if package == "htp_modules":
            assert rest in below, f"{path.stem} may not import {module}"
        elif path == ROOT / COMMAND:
            assert module == "adapters.self_check"
        else:
            assert package in MAY_IMPORT or package in sys.stdlib_module_names, (
                f"{path.stem} imports {module}"
            )


def test_every_layer_names_files_that_exist():
    assert set().union(*LAYERS) == {path.stem for path in files("htp_modules")}


def test_adapters_import_public_names_alone():
    exported = {
        element.value
        for node in ast.parse((ROOT / "htp_modules" / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        for element in node.value.elts
    }
    assert "TCEP" in exported
    for path in files("adapters"):
        for module, names in imports(path):
            package = module.partition(".")[0]
            if package == "htp_modules":
                assert module == "htp_modules", f"{path} reaches into {module}"
                assert set(names) <= exported, f"{path} imports {set(names) - exported}"
            else:
                own = package in MAY_IMPORT | {"adapters"} or package in sys.stdlib_module_names
                own = own or (package == "matplotlib" and path.stem == "tuning")
                assert own, f"{path} imports {module}"


def test_drawing_imports_matplotlib_when_it_draws():
    path = ROOT / "adapters" / "tuning.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert "matplotlib" not in ast.unparse(ast.Module(at_once, []))


@pytest.mark.parametrize("folder", ["htp_modules", "adapters", "benchmarks", "examples"])
def test_nothing_imports_what_lies_downstream(folder):
    downstream = {
        "htp_modules": {"adapters", "htp_diffusion", "benchmarks", "examples", "tests"},
        "adapters": {"htp_diffusion", "benchmarks", "examples", "tests"},
        "benchmarks": {"examples", "tests"},
        "examples": {"tests"},
    }[folder]
    for path in files(folder):
        for module, _ in imports(path):
            assert module.partition(".")[0] not in downstream or path == ROOT / COMMAND, (
                f"{path} imports {module}"
            )
            assert module != "htp_modules.__main__"


def rooms_imported(path):
    """The rooms of htp_diffusion that a file imports from."""
    for module, names in imports(path):
        package, _, rest = module.partition(".")
        if package == "htp_diffusion":
            yield from [rest.partition(".")[0]] if rest else names


def test_the_benchmarks_have_these_rooms_and_no_loose_file():
    package = ROOT / "benchmarks" / "htp_diffusion"
    assert {entry.name for entry in package.iterdir() if entry.name != "__pycache__"} == {
        *ROOMS,
        "__init__.py",
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_the_rooms_above_it(room):
    above = ROOMS[: ROOMS.index(room) + 1]
    found = {
        entry: path for path in files(f"benchmarks/htp_diffusion/{room}") for entry in rooms_imported(path)
    }
    assert found
    for entry, path in found.items():
        assert entry in above, f"{path} in {room} may not import from {entry}"


def test_the_tests_of_the_benchmarks_lie_in_their_rooms():
    tests = ROOT / "tests" / "benchmarks"
    folders = {entry.name for entry in tests.iterdir() if entry.is_dir() and entry.name != "__pycache__"}
    assert folders <= {*ROOMS, "fuzz"}  # damaged files of every reader, and killed trainings


def test_no_file_is_above_300_lines():
    folders = ("htp_modules", "adapters", "benchmarks", "examples", "tests")
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for name in folders for path in files(name)}
    assert len(lengths) > 300
    too_long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > 300}
    assert too_long == {}, f"split by noun: {too_long}"
