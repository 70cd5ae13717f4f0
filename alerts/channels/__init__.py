"""One file per channel that a message can leave by."""
