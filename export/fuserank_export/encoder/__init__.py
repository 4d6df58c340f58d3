"""Loads a Hugging Face sentence encoder, exports it as ONNX engines and runs them."""
