"""What a ranker has to beat: one file each, behind `relevance.baselines.baseline.Baseline`."""
