"""gw admin: what an operator does, one file for each resource."""
