"""What is true of any of our processes: how to start, dial, log, count, fail."""
