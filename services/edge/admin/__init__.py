"""The control plane over HTTP: each route is one admin RPC, or a few, told in JSON."""
