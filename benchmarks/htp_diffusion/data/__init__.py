"""Motion in memory, and the readers and generators that make it."""
