"""S3 on this machine."""
