"""The console in a browser: Chromium without a screen, and rules of accessibility (axe-core)."""
