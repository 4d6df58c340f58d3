"""What another bundle or objective would have earned, estimated from lists that were logged with propensities."""
