"""What an export costs: seconds and memory by the size of the shop."""
