"""PE images, their checksum and what Authenticode covers of them."""
