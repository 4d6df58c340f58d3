"""The text models, fine-tuned: the ranker's text tower, which reads query and item together, and the encoder."""
