"""Points in, findings out: what is normal, and what has really changed."""
