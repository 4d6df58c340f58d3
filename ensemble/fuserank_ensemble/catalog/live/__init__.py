"""What the shop changed of its catalogue since the bundle, over the arrays of the bundle."""
