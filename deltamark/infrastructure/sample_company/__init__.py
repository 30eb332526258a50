"""A made-up company of any size: its extracts on each day, and a workspace for it.

For samples, tests and benchmarks: `generate` writes the extracts of a day, and
``python -m deltamark.infrastructure.sample_company FOLDER --people 1000 --day 3`` does so from a shell.
`write_workspace` adds settings and a configuration that synchronizes them. All people and addresses are invented.
"""

from deltamark.infrastructure.sample_company.generator import generate
from deltamark.infrastructure.sample_company.workspace import write_workspace

__all__ = ["generate", "write_workspace"]
