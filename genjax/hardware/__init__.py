"""Accelerators: their speed and memory, and FLOPs of programs."""
