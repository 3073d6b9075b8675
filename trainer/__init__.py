"""Training of crop policies; installed as `cropzoom.trainer`."""
