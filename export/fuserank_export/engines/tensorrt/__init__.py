"""TensorRT: what an engine is built from, how, and which machine it fits."""
