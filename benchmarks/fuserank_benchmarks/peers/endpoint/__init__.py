"""The HTTP endpoint that both HTTP peers are served through; it runs in the peers' own environments."""
