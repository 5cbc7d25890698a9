"""What the add-on and the server agree on: messages, and files that both sides read. Standard library only."""
