"""The same store with its data in ClickHouse, for more than one machine (see docs/scale.md)."""
