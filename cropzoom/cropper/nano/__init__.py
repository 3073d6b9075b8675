"""nano: one small graph that reads a page and points (kind `pointer`)."""
