"""Speed: the graph under load, the machine's ceiling, and peers side by side."""
