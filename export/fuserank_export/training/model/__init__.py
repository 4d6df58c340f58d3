"""The ranker's network, and the engine that it is exported as."""
