"""Cost of retrieval: dense search by size of the catalogue, and the stages `retrieve` and `suggest`."""
