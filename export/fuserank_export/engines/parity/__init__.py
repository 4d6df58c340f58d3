"""Whether an engine says, and ranks, what the FP32 one does."""
