"""Settings: of the types that annotations name, for things by name."""
