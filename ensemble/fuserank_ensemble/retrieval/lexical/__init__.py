"""Words: tokenising, the tantivy indexes of items and of query completions."""
