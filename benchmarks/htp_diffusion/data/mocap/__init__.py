"""Readers of motion capture, and the way from its skeletons to the joints of Human3.6M."""
