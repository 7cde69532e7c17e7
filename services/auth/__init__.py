"""Who is calling: organisations, users, API keys, provider keys, admin keys, audit trail."""
