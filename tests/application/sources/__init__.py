"""Tests of deliveries and places in sources."""
