"""Triggers: what is said to whom the moment something happens, declared as data and fired once: docs/triggers.md."""
