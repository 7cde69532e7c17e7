"""A stand-in provider for demos and tests; not a real model."""
