"""What is delivered to sinks: changes and gaps, and what sinks refuse for good. Read `batch` first."""
