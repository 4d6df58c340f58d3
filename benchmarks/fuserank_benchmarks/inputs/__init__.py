"""What the benchmarks run on: requests of a shop, judged queries, and bundles of other sizes."""
