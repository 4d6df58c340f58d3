"""How well candidates are ranked, against every baseline."""
