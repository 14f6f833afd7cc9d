"""What the site adds to mkdocs: the repository's files that pages link to; roles of docstrings as code."""

import re
from pathlib import Path

from mkdocs.structure.files import File

_ROOT = Path(__file__).resolve().parents[1]
_FOLDER = "repository"
_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/checkpoints/README.md")
_LINK = re.compile(r"(?<=\]\()(?!https?:|#|mailto:)([^)\s]+)")
_ROLE = re.compile(r":(?:class|func|meth|attr|mod):(?=<code)")


def on_files(files, config):
    """Put what lies outside of docs/ under ``repository/``: pages, and whatever a page links to."""
    wanted = {_ROOT / page for page in _PAGES}
    for file in list(files.documentation_pages()):
        source = Path(file.abs_src_path)
        for target in _outside(source):
            wanted.add(target)
    for path in sorted(wanted):
        name = f"{_FOLDER}/{path.relative_to(_ROOT).as_posix()}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def _outside(source):
    """The files outside of docs/ that a page links to."""
    for link in _LINK.findall(source.read_text(encoding="utf-8")):
        target = (source.parent / link.partition("#")[0]).resolve()
        if target.is_file() and (_ROOT / "docs") not in target.parents:
            yield target


def on_page_markdown(markdown, page, config, files):
    """Links as the repository has them, turned to where the files are on the site."""
    at = Path(page.file.src_uri)
    inside = at.parts[0] == _FOLDER
    here = _ROOT / (at.relative_to(_FOLDER) if inside else Path("docs") / at)

    def moved(match):
        link, mark, anchor = match[1].partition("#")
        target = (here.parent / link).resolve() if link else here
        if not target.is_relative_to(_ROOT):
            return match[1]
        place = target.relative_to(_ROOT)
        if place == Path("README.md"):
            place, mark, anchor = Path("docs/index.md"), "", ""
        on_site = place.relative_to("docs") if place.parts[0] == "docs" else _FOLDER / place
        up = "../" * (len(at.parts) - 1)
        return f"{up}{on_site.as_posix()}{mark}{anchor}"

    return _LINK.sub(moved, markdown)


def on_page_content(html, page, config, files):
    """Sphinx roles of docstrings are left to their code."""
    return _ROLE.sub("", html)
