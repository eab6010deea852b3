"""A study of how people segment: its plan, and the run of one user through it. No scene, no network."""
