"""What the gateway costs, everything on, against the same requests without it."""
