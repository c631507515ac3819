"""Replay of a plan: over intervals (interval.py). Pure."""
