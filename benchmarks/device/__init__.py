"""The checks and measurements on an accelerator."""
