"""What a shop allows in its lists: rules in small files, judged over arrays of item attributes, after every path to a list."""
