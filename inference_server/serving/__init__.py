"""The conversation with the add-on: requests read, queued, made on the device, written to files, answered."""
