"""`fuserank export refresh`: the next bundle from the last one and the log of what happened since."""
