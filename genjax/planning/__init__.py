"""Estimates memory, FLOPs, transfers and step time on absent devices: compiles the training
programs ahead of time, from shapes alone.
"""
