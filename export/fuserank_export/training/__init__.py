"""The ranker: its model, its training cases, its training."""
