"""Reports of measuring commands: written, and quoted in the READMEs."""
