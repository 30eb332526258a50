"""Where changes are sent to: files, webhooks, tables of databases."""
