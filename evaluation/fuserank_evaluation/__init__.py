"""Quality: data sets with known answers, baselines, metrics, and reports of retrieval and ranking."""
