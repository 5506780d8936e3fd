"""The last step of the way: images written where outputs want them, and everything that tells about them."""
