"""A gateway under test, and its neighbours: plan-api, the generators, owners of plans, viewers."""
