"""What a running service tells about itself: logs and metrics."""
