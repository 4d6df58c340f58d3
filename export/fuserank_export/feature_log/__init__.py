"""What the ranker read of sampled searches, as a table."""
