"""Words: a number of things as a sentence tells it, and text of unknown origin as a terminal may show it."""


def counted(number: int, noun: str) -> str:
    """A number and its noun: 1 thread, 2 threads.

    Args:
        number: How many.
        noun: Of one; its plural takes an s.
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """The text with an escape in place of every character that is not shown.

    A terminal takes control characters as commands: to clear the screen, or to set the clipboard. What stands
    for a byte of a file name that is not UTF-8 (a lone surrogate) is escaped, too, as UTF-8 has none.

    Args:
        text: Of unknown origin, such as a name from a file.
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
