"""The subcommands of measure.py: options, what is timed, and where the result goes."""
