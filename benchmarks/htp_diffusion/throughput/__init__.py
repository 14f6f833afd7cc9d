"""Throughput: who is timed, how, and whether what they compute agrees."""
