"""What changes while a bundle is served: one ordered, durable log that every process reads."""
