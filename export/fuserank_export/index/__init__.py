"""What is searched while serving: the catalogue's arrays, words, vectors and completions."""
