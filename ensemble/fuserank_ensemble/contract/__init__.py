"""The wire contract: options, limits, and the errors about them."""
