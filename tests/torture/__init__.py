"""Real processes killed, frozen and cut off, and every cent accounted for. ``python -m
tests.torture`` runs all of it; the short versions are tests in tests/system."""
