"""From facts and features to labels, models, evidence and the registry."""
