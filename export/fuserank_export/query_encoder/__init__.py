"""A small encoder for queries, taught the vectors that the full one makes of texts like queries."""
