"""The HTTP endpoint of both peers; its modules import each other and the peers' own libraries, and nothing else."""
