"""Findings in, messages out: incidents, routing, delivery and the weekly summary."""
