"""Talks with the add-on: reads and queues its requests, makes frames on the device, writes files, and answers."""
