"""What share of the right items retrieval hands to the ranker."""
