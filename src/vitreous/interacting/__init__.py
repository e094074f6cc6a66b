"""Interactions of patches: of pictures, of data sets, and whether the indicator holds on a model."""
