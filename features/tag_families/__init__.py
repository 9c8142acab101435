"""Declarations of tags, a family in one module or in several."""
