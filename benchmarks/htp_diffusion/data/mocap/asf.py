"""The skeleton of an Acclaim .asf file, as the CMU motion capture database writes it: a tree of bones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.text import AXES, euler_rotation, malformed, numbers, read_lines

ROOT = "root"
_LENGTH_UNIT = 0.45
METRES = 0.0254 / _LENGTH_UNIT
"""Metres in the unit of a CMU skeleton's lengths, which is an inch / 0.45."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bone:
    """One bone.

    Attributes:
        name: Its name.
        parent: The bone it hangs on; the root's name for the first ones.
        offset: From its start to its far end in the rest pose, metres.
        axes: C, its axes in the rest pose.
        freedom: The axes that a motion turns it about, in the order of their values, such as "xz".
    """

    name: str
    parent: str
    offset: Float64[np.ndarray, "3"]
    axes: Float64[np.ndarray, "3 3"]
    freedom: str


@dataclass(frozen=True, kw_only=True, eq=False)
class AsfSkeleton:
    """A tree of bones under a root.

    Attributes:
        root_order: What the root's six values are, such as ("tx", "ty", "tz", "rx", "ry", "rz").
        bones: Parents before children.
    """

    root_order: tuple[str, ...]
    bones: tuple[Bone, ...]

    @property
    def freedoms(self) -> dict[str, int]:
        """The number of values that a motion gives for each moving bone and the root."""
        moving = {bone.name: len(bone.freedom) for bone in self.bones if bone.freedom}
        return {ROOT: len(self.root_order), **moving}


def read_asf(path: str | Path) -> AsfSkeleton:
    """Read a skeleton.

    Raises:
        BenchmarkError: The file cannot be read, is malformed (the line is named), or has units, a root or
            degrees of freedom other than the CMU database's.
    """
    sections = _sections(path)
    _check_units(path, sections)
    order = _root_order(path, sections)
    fields = _bone_fields(path, sections)
    parents = _parents(path, sections, fields)
    children: dict[str, list[str]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    placed = [ROOT]
    for parent in placed:  # which grows as it is walked
        placed += children.get(parent, [])
    lost = [name for name in fields if name not in placed]
    if lost:
        raise BenchmarkError(f"{path}: the hierarchy does not join to the root: {', '.join(lost)}")
    bones = tuple(_bone(path, name, parents[name], fields[name]) for name in placed[1:])
    return AsfSkeleton(root_order=order, bones=bones)


_Line = tuple[int, list[str]]  # its number and its words


def _sections(path: str | Path) -> dict[str, list[_Line]]:
    """The lines of each section, comments and empty lines left out."""
    sections: dict[str, list[_Line]] = {}
    section: list[_Line] | None = None
    for number, text in enumerate(read_lines(path), start=1):
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            section = sections.setdefault(words[0][1:].lower(), [])
        elif section is None:
            raise malformed(path, number, f"expected a section such as :units, got {text.strip()[:40]!r}")
        else:
            section.append((number, words))
    missing = [f":{name}" for name in ("units", "root", "bonedata", "hierarchy") if not sections.get(name)]
    if missing:
        raise BenchmarkError(f"{path}: a skeleton needs the sections {', '.join(missing)}")
    return sections


def _check_units(path: str | Path, sections: dict[str, list[_Line]]) -> None:
    found = {words[0].lower(): (line, " ".join(words[1:])) for line, words in sections["units"]}
    for name, expected, fits in (
        ("length", str(_LENGTH_UNIT), _is_length_unit),
        ("angle", "deg", lambda unit: unit.lower() == "deg"),
    ):
        if name not in found:
            raise BenchmarkError(f"{path}: :units does not tell the {name}, expected {name} {expected}")
        line, unit = found[name]
        if not fits(unit):
            raise malformed(path, line, f"unit {name} {unit}, expected the CMU database's {name} {expected}")


def _is_length_unit(text: str) -> bool:
    """Whether a text is the number 0.45, however it is written."""
    try:
        return float(text) == _LENGTH_UNIT
    except ValueError:
        return False


def _root_order(path: str | Path, sections: dict[str, list[_Line]]) -> tuple[str, ...]:
    order: tuple[str, ...] = ()
    for line, (field, *words) in sections["root"]:
        if field == "order":
            order = tuple(word.lower() for word in words)
            if sorted(order) != ["rx", "ry", "rz", "tx", "ty", "tz"]:
                raise malformed(path, line, f"root order expects TX TY TZ RX RY RZ, got {' '.join(words)}")
        elif field in ("position", "orientation") and any(numbers(words, 3, path, line, f"root {field}")):
            raise malformed(path, line, f"root {field} expects 0 0 0, got {' '.join(words)}")
    if not order:
        raise BenchmarkError(f"{path}: :root does not tell the order of its values")
    return order


def _bone_fields(path: str | Path, sections: dict[str, list[_Line]]) -> dict[str, dict[str, _Line]]:
    """For each bone its fields by name."""
    bones: dict[str, dict[str, _Line]] = {}
    fields: dict[str, _Line] | None = None
    for line, (field, *words) in sections["bonedata"]:
        if (field == "begin") != (fields is None):
            raise malformed(path, line, f"expected the begin of a bone and later its end, got {field}")
        if fields is None:
            fields = {"begin": (line, [])}
        elif field == "end":
            lacks = [name for name in ("name", "direction", "length", "axis") if name not in fields]
            if lacks or len(fields["name"][1]) != 1:
                raise malformed(path, line, f"the bone lacks its {', '.join(lacks or ['name'])}")
            name = fields["name"][1][0]
            if name in bones or name == ROOT:
                raise malformed(path, line, f"a second bone of the name {name}")
            bones[name], fields = fields, None
        else:
            fields.setdefault(field, (line, words))
    if fields is not None:
        raise malformed(path, fields["begin"][0], "a bone without its end")
    return bones


def _parents(path: str | Path, sections: dict[str, list[_Line]], bones: dict[str, Any]) -> dict[str, str]:
    """The bone that each bone hangs on."""
    parents: dict[str, str] = {}
    for line, (parent, *children) in sections["hierarchy"]:
        if parent in ("begin", "end") and not children:
            continue
        for name in (parent, *children):
            if name not in bones and name != ROOT:
                raise malformed(path, line, f"the hierarchy names {name}, which is no bone of :bonedata")
        for child in children:
            if child in parents or child == ROOT:
                raise malformed(path, line, f"the hierarchy gives {child} a second parent")
            parents[child] = parent
    return parents


def _bone(path: str | Path, name: str, parent: str, fields: dict[str, _Line]) -> Bone:
    """A bone from its fields."""
    values = {}
    for field, count in (("direction", 3), ("length", 1), ("axis", 3)):
        line, words = fields[field]
        given = words[:-1] if field == "axis" else words
        values[field] = np.array(numbers(given, count, path, line, f"{field} of {name}"))
    line, words = fields["axis"]
    order = words[-1].lower()
    if sorted(order) != sorted(AXES):
        raise malformed(path, line, f"axis of {name} ends with the order of its angles, such as XYZ")
    line, freedom = fields.get("dof", (0, []))
    turns = [word.lower() for word in freedom]
    if len(set(turns)) != len(turns) or not set(turns) <= {"rx", "ry", "rz"}:
        raise malformed(path, line, f"dof of {name} expects some of rx ry rz, got {' '.join(freedom)}")
    # The angles are those about x, y and z, applied in the order that the file names.
    turned = order[::-1]
    angles = values["axis"][[AXES.index(axis) for axis in turned]]
    return Bone(
        name=name,
        parent=parent,
        offset=values["direction"] * values["length"] * METRES,
        axes=euler_rotation(turned, angles[None])[0],
        freedom="".join(turn[1] for turn in turns),
    )
