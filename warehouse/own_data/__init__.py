"""Data of one's own: its description, the file read by it, and a description proposed for it."""
