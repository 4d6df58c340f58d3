"""`fuserank evaluate --catalog …`: whether FuseRank is better on a shop's own data, as one HTML page."""
