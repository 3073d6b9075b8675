"""Pages laid out by a real browser."""
