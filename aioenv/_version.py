"""The version, in one place: the packaging and the running code both read it here."""

__all__ = ["__version__"]

__version__ = "0.1.0"
