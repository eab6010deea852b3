"""A department's server, and its client. The client needs no torch; the server is in `server/`."""
