"""The other distribution that installs a package called ``adapters``."""

from importlib.metadata import PackageNotFoundError, version

from htp_modules.errors import ConflictError

DISTRIBUTION = "adapters"
"""On PyPI: AdapterHub's, for language models. Installed together, each overwrites files of the other."""


def check_no_conflict() -> None:
    """Check that no other distribution installs a package called ``adapters`` in this environment.

    Raises:
        ConflictError: One does; the error names it and says what to do.
    """
    try:
        found = version(DISTRIBUTION)
    except PackageNotFoundError:
        return
    raise ConflictError(
        f"the distribution {DISTRIBUTION} {found} (AdapterHub) is installed in this environment and has a "
        f"package of the same name, adapters: run pip uninstall {DISTRIBUTION} and then "
        "pip install --force-reinstall --no-deps htp-modules, or use htp-modules in an environment of its own"
    )
