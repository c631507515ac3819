"""Replays of a plan: of intervals, of training jobs, and of every request. Pure."""
