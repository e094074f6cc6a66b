"""What patches look like inside a model."""
