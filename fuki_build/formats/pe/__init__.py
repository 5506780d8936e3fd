"""PE images, their checksum, and Authenticode's view of them."""
