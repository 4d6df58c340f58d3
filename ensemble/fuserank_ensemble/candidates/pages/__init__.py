"""Pages of what matches: which items, how many, in what order, and what they have in common."""
