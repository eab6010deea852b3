"""What an interaction looked like: one picture per iteration, and numbers for scripts."""
