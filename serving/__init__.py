"""Answers for the marketing engine: registry and store in, scores and lists out."""
