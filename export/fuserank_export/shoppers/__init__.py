"""Users of different habits, to show a shop with."""
