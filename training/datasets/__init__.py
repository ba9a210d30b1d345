"""Readers of skeleton data; each gives `training.datasets.skeletons.Sequences` or arrays."""
