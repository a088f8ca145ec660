"""starmuster: a photometric data warehouse for small telescopes."""

__version__ = "0.1.0"
