"""Who is calling: organisations, users, API keys, provider keys, audit."""
