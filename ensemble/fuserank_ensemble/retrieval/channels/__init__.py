"""The retrieval channels, one file each."""
