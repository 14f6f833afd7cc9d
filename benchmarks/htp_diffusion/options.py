"""Help for options of a command line."""

import tyro


def by_default(text: str, metavar: str) -> object:
    """Help for an option that is None by default: what happens then, and what to write instead."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})", metavar=metavar)
