import io
import re
import time

from rich.console import Console

from htp_diffusion.base import progress as progress_module
from htp_diffusion.base.progress import progress_bar


def test_a_file_gets_plain_lines_while_the_work_goes_on(monkeypatch):
    monkeypatch.setattr(progress_module, "LINE_EVERY", 0.05)
    file = io.StringIO()
    with progress_bar(Console(file=file)) as progress:
        task = progress.add_task("training [1]", total=4)
        progress.update(task, completed=2)
        deadline = time.monotonic() + 20
        while not file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert re.fullmatch(r"training \[1\] 2 of 4, \d+ s(, \d+ s left)?", file.getvalue().splitlines()[0])
        progress.update(task, completed=4)
    assert re.fullmatch(r"training \[1\] 4 of 4, \d+ s", file.getvalue().splitlines()[-1])
    assert "\x1b" not in file.getvalue()


def test_a_terminal_keeps_its_bar():
    file = io.StringIO()
    with progress_bar(Console(file=file, force_terminal=True)) as progress:
        progress.update(progress.add_task("training", total=1), completed=1)
    assert "\x1b" in file.getvalue()
