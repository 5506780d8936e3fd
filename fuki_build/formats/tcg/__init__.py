"""Event logs of TPMs and confidential guests."""
