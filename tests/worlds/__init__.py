"""Whole environments that are nothing like Echo.

`studio` paints pictures, `nim` ends, and `bazaar` has one of everything in its models.
"""
