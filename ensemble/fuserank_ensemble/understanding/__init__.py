"""What a query says beside its words: sizes, prices, and what it rules out."""
