"""Changes that a threshold held back: shows, applies or drops them."""
