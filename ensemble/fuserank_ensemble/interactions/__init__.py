"""What users did: their histories, the popularity of items, and a user's profile and sequence."""
