"""Compiled parts of the replay step by step. Importing them imports numba."""
