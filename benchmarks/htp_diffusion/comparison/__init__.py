"""Models side by side: errors, speed and cost of each, their tables, the frames that HTP keeps."""
