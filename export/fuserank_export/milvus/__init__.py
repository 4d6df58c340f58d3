"""Writes a catalogue's vectors and filterable fields to a Milvus collection."""
