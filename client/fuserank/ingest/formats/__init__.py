"""What the messages of a topic hold: events and changes as the server takes them, or those of other programs."""
