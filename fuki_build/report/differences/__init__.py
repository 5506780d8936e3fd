"""What differs between two finished images, made of what reports know of each."""
