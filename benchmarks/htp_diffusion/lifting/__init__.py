"""A user's own video: from a detector's 2D joints to 3D poses, files and pictures."""
