"""The knowledge graph of a catalogue and its log, and the vectors learned from it."""
