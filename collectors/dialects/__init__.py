"""What each emitter means by its attributes, as data."""
