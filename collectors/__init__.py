"""Spans in, rows out: the OTLP receiver, the call records and the store."""
