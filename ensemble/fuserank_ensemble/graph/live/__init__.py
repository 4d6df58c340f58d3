"""What happens while the graph serves: the log that its steps follow, write and learn from."""
