"""What several test folders share: running the command line in this process, and plugins made on the spot."""
