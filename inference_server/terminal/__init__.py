"""What the commands share: words for people on stderr, and jobs that work in a folder."""
