"""HTTP in, HTTP out: the OpenAI wire format and the admin API."""
