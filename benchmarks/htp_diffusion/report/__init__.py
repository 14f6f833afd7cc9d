"""How a benchmark reports: timing, counting, checked JSON and tables."""
