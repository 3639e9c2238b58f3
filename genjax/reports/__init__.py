"""What came of many runs: read from their folders without JAX, compared over seeds, shown."""
