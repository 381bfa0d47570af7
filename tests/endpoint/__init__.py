"""Upload, train and watch against an endpoint on the loopback."""
