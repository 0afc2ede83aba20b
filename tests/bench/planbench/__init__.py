"""How many plans a core can carry, and how soon a token is seen: `make bench`."""
