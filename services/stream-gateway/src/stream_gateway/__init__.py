"""stream-gateway: the public door; NATS subjects become Server-Sent Events per plan."""
