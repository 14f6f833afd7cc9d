"""The paper's ablations and what else is studied by training many models."""
