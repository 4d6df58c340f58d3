"""Ranking of films for queries that people judged: text tower, LambdaMART on tower and features, and a bundle's ranker.

The judgements are binary, and an unjudged film counts as wrong, in the tower's training and in the measure.
"""
