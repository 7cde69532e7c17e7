"""The services of the gateway, and what they share."""
