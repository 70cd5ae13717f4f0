"""What each emitter means: tables of names and values, and the few parsers that they need."""
