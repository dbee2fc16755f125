"""Two whole environments that are nothing like Echo: `studio` paints pictures, `nim` ends."""
