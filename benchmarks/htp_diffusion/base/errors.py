"""The error that a script prints as one line."""


class BenchmarkError(ValueError):
    """The user asked for something that cannot be done: a wrong path, key, length or option."""
