"""The catalogue: items, their texts, and filters over their columns."""
