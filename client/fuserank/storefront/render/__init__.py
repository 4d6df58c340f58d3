"""What the templates show: words, pictures, tiles and the panel of the graph, as plain values."""
