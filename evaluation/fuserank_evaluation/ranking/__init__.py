"""How well the ranker orders what users then take, against every baseline."""
