"""Fuzz targets, one a parser: `seeds()` gives real or realistic inputs, `run(data)` must return for every input."""
