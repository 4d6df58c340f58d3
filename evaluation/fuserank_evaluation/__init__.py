"""Quality: what retrieval finds and how well the ranker orders it, on shops with known answers.

Rooms, each of which may import those before it: reports, datasets, metrics, retrieval, baselines, ranking, and the
command line `fuserank evaluate` above all.
"""
