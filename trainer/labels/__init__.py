"""Boxes for rows that have none: teachers, their answers expanded, and labelling in bulk."""
