"""Trains the text models: the ranker's text tower, a cross-encoder, and the encoder, a bi-encoder."""
