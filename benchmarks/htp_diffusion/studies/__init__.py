"""Studies: several models trained and scored alike, and the tables that compare them."""

"""The paper's ablations and what else is studied by training many models."""
