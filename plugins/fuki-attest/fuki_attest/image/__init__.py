"""Evidence held against an image: what it was predicted to measure, at launch and while it boots."""
