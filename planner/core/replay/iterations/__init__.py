"""Replay of units that compute prompts and decode on the same GPUs, step by step."""
