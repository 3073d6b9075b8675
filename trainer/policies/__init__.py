"""Crop policies behind one interface (`base.py`)."""
