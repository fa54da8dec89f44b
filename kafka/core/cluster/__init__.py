"""What is known of the cluster, and requests by route rather than by connection."""
