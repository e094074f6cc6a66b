"""The pictures of hospitals, read; and what was found in them, in files that hospitals read."""
