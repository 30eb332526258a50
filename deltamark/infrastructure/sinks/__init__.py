"""Where changes are sent to that nothing is read from: files of several formats, webhooks."""
