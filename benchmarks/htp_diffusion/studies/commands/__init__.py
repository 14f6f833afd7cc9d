"""The subcommands of study.py: options, what is trained and scored, and where the result goes."""
