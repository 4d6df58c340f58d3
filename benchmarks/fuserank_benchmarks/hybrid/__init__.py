"""LanceDB's hybrid search with the user's history and a ranker in the caller, against the whole graph."""
