"""What users did: histories, popularity, and what a history says of its user."""
