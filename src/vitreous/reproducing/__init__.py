"""A result made again from its manifest, and whether it came out the same."""
