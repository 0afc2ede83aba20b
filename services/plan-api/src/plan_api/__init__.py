"""plan-api: inputs, quota, admission of a generation, the synchronous call."""
