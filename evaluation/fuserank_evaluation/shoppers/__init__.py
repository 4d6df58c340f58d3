"""Answers to queries in people's own words, by the whole product and by plain search."""
