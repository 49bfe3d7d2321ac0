"""The public surface of Slipway: resource types, their names, and the documents that its programs exchange."""
