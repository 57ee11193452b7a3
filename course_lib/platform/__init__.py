"""What runs services and keeps them running; so far one pod, as a kubelet looks after it."""
