"""Files that appear whole or not at all, and the manifest that a run leaves."""
