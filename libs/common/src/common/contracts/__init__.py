"""The only home of wire contracts: documents, events, messages, subjects and error codes.

Envelopes are camelCase on the wire and snake_case in Python; the plan document keeps its own snake_case keys.
Readers skip unknown fields and unknown events, and refuse malformed known ones.
"""
