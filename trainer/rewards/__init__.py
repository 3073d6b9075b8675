"""What a crop is worth: pure functions of rows and boxes (`base.py`)."""
