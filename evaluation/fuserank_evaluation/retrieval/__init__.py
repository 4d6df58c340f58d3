"""What retrieval finds: candidates for ranking, and its recall on shops with known answers."""
