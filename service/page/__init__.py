"""The page: what the service knows, for people with a browser. Rendered on the server, works without a network."""
