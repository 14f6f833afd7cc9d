"""Printable: text from files and file names, which a terminal shows and does not obey."""


def printable(text: str) -> str:
    """The text with an escape in place of every character that is not shown.

    A terminal takes control characters as commands: to clear the screen, or to set the clipboard. What
    stands for a byte of a file name that is not UTF-8 (a lone surrogate) is escaped, too, as UTF-8 has none.
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
