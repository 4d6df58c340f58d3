"""What a replica's container does beside serving: before its start, now and then, and before its end."""
