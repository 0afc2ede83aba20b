"""generator: streams from OpenRouter, parses partial JSON, publishes progress, stores the plan."""
