"""Words: a number of things, as a sentence tells it."""


def counted(number: int, noun: str) -> str:
    """A number and its noun: 1 thread, 2 threads.

    Args:
        number: How many.
        noun: Of one; its plural takes an s.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
