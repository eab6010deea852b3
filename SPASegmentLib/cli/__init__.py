"""The sub-commands of `spasegment`. Modules here import fast; heavy imports wait until a command runs."""
