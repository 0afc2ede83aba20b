"""A server that speaks OpenRouter's chat completions, for development and tests."""
