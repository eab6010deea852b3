"""The server: only the command `spasegment serve` imports it."""
