"""The tests. The folders mirror those of the source."""
