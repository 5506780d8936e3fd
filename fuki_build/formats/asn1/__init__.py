"""DER, certificates, keys and PKCS #7."""
