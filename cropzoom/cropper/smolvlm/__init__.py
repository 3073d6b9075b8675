"""Croppers made of a SmolVLM or Idefics3: the box as text, or pointed at."""
