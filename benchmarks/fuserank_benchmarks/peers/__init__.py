"""Stacks that shops put together from other parts, served beside FuseRank on the same models and data."""
