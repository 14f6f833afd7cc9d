"""Readers of the files of data sets, and what they share."""
