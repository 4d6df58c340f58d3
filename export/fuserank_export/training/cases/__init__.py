"""Training cases: requests with candidates, features and labels, from logs and judgements."""
