"""Training and judging detectors."""
