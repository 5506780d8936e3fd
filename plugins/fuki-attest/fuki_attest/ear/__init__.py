"""Verdicts as EAT attestation results (EAR), for services that take what other verifiers say."""
