"""What 2D detectors write, read as tracks of people."""
