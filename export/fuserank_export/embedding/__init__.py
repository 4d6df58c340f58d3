"""Embeds the texts of a catalogue in blocks, in this process or on a Ray cluster."""
