"""From scores to one ordered list: variety, business rules, exploration."""
