"""Reads topics of events and of catalogue changes from Kafka and hands them to a server's `record` and `catalog`."""
