"""The command line: names, options and help. Only rapport.py imports it; each command imports its job once it runs."""
