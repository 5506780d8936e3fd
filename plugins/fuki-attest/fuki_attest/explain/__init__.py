"""Why evidence has other measurements than were predicted: what they may have been made of."""
