"""The Triton model repository of a bundle: configurations, warm-up requests and the sealed manifest."""
