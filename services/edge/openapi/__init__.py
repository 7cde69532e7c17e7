"""The HTTP API described as OpenAPI 3.1, and a page for people made from the description."""
