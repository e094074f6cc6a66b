"""What a reader is handed: pages of explained pictures."""
