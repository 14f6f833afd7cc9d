"""How fast, how much memory and how many operations: who is timed, how, and whether the results agree."""
