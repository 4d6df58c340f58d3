"""The knowledge graph of items, brands, categories and attributes."""
