"""An organisation to derive values of: departments, people and their accounts, out of three connectors."""
