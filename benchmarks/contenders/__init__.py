"""The programs under measurement: a server and a load client for each contender.

They run in separate processes, some under another interpreter than the driver's, so what
they share (`load`) needs nothing but the standard library.
"""

__all__: list[str] = []
