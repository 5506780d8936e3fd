"""IGVM, OVMF's metadata, and what SEV-SNP measures of a guest."""
