"""Why an item stands where it stands, and what is wrong with a machine: the commands `explain` and `doctor`."""
