"""The error that a script prints as one line."""

DATA_PAGE = "docs/datasets.md says where the files of each data set come from"
"""What the errors that miss a file of a data set end in."""


class BenchmarkError(ValueError):
    """The user asked for something that cannot be done: a wrong path, key, length or option."""
