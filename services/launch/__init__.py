"""The whole gateway on one machine: what `python -m services` is made of."""
