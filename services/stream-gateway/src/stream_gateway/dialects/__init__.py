"""Other protocols' words for our events. Each module writes frames as its protocol's Server-Sent Events."""
