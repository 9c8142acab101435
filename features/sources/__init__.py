"""Where facts come from: the canonical tables, and one adapter for each kind of source."""
