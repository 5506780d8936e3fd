"""IGVM, OVMF's metadata, and the structures that SEV-SNP measures or checks at launch."""
