"""Speed of the whole graph against the machine's ceiling and against other stacks."""
