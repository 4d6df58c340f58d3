"""How soon exploration finds what people click, in a simulated shop whose truth is known."""
