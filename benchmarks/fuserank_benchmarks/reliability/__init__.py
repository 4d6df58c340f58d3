"""What a server does beyond its peak, and after hours of load: the report `reliability`."""
