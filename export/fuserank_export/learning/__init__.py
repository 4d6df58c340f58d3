"""What the log teaches the channels: popularity, factors, the knowledge graph, the weights of fusion."""
