"""History from elsewhere, as the spans that would have told of it: the receiver's own path makes calls of them."""
