"""Reports on runs: reads their folders without JAX, aggregates over seeds, and renders tables and
plots.
"""
