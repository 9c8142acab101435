"""From raw tables to facts, from facts to features as of a moment, and from there into the online store."""
