"""The channels by which people are told of runs: mail, webhook, command."""
