"""What every Planstream service shares: the wire contracts and the thin layers under them."""
