"""Declarations of tags, one module a family."""
