"""Echo's models: what an agent says, and what it hears back."""

from attrs import define, field

from aioenv import Observation

__all__ = ["EchoAction", "EchoObservation"]


@define
class EchoAction:
    """Say something.

    Attributes:
        message: the message to echo.
    """

    message: str = field(
        metadata={"description": "The message to echo", "examples": ["Hi, world!"]}
    )


@define
class EchoObservation(Observation):
    """Hear it back.

    Attributes:
        echoed_message: the message, unchanged.
        message_length: its length in Unicode code points.
    """

    echoed_message: str = field(
        metadata={"description": "The message, unchanged", "examples": ["Hi, world!"]}
    )
    message_length: int = field(
        metadata={"description": "Its length in Unicode code points", "examples": [10]}
    )
