"""S3: buckets, objects and multipart uploads."""
