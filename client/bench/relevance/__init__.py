"""How well items are ranked: cases with known answers, baselines, measures, tests of significance."""
