"""gw, the command line of the gateway. It speaks HTTP to the edge and nothing else."""
