"""Sequence files: their format, what converts others' skeletons, and the classes of MPOSE2021."""
