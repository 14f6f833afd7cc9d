"""Studies: several models trained and scored alike, and the tables that compare them."""
