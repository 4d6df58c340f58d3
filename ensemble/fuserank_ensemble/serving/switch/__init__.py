"""Switches a running server from one bundle to another and back."""
