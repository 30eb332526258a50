"""The use cases of Deltamark, over the ports that a store and a source must offer."""
