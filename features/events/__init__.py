"""Events as they happen: read strictly, kept in Redis streams until they are applied, archived into facts exactly once."""
