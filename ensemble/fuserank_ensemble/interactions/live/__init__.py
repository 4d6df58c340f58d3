"""What users did since the bundle was made, as the log tells it."""
