"""What is durable of instances: their rows, histories, messages, transitions and dead letters."""
