"""The weekly summary: numbers, verdicts, recommendations, the letter and when it is sent."""
