"""What the commands share: text for people on stderr, and jobs that work in a folder."""
