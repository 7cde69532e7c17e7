"""The web console: what an operator does, and what a key holder may know, in a browser."""
