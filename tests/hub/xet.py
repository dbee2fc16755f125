"""The storage behind a Hub, where large files go: Xet, as ``hf_xet`` speaks it.

A client cuts files into chunks, sends chunks together as "xorbs", and then a "shard", which says of
which chunks each file is made. From these the files are put together again.
The formats are those of https://huggingface.co/docs/xet: little-endian, hashes of 32 bytes.
"""

import hashlib
import struct
from collections.abc import Iterator

import lz4.frame

__all__ = ["Storage"]

_HEADER = 48  # of a shard: tag, version, size of the footer
_ENTRY = 48
_END = b"\xff" * 32
_HAS_VERIFICATION = 1 << 31
_HAS_METADATA = 1 << 30
_AS_IT_IS, _LZ4, _GROUPED_LZ4 = range(3)


class Storage:
    """Chunks, and the files made of them."""

    def __init__(self) -> None:
        self._xorbs: dict[bytes, list[bytes]] = {}
        self.files: dict[str, bytes] = {}

    def add_xorb(self, name: str, body: bytes) -> None:
        """Take in chunks, under the hash that a shard names them by."""
        # A hash is written as four numbers of eight bytes each, every one from its high end.
        key = b"".join(bytes.fromhex(name[at : at + 16])[::-1] for at in range(0, 64, 16))
        self._xorbs[key] = list(_chunks(body))

    def add_shard(self, body: bytes) -> None:
        """Put together the files that a shard describes.

        Raises:
            ValueError: a file is not what its SHA-256 says, or has none.
        """
        at = _HEADER
        while body[at : at + 32] != _END:
            flags, count = struct.unpack_from("<II", body, at + 32)
            at += _ENTRY
            content = b""
            for _ in range(count):
                _, _, start, end = struct.unpack_from("<IIII", body, at + 32)
                content += b"".join(self._xorbs[body[at : at + 32]][start:end])
                at += _ENTRY
            if flags & _HAS_VERIFICATION:
                at += _ENTRY * count
            if not flags & _HAS_METADATA:
                raise ValueError("the shard has no SHA-256 of its file")
            digest = body[at : at + 32]
            oid = b"".join(digest[part : part + 8][::-1] for part in range(0, 32, 8)).hex()
            at += _ENTRY
            if hashlib.sha256(content).hexdigest() != oid:
                raise ValueError("the file is not what its SHA-256 says")
            self.files[oid] = content


def _chunks(body: bytes) -> Iterator[bytes]:
    """Cut a xorb into its chunks."""
    at = 0
    while at < len(body) and body[at] == 0:  # what follows begins with letters
        packed = int.from_bytes(body[at + 1 : at + 4], "little")
        form = body[at + 4]
        at += 8
        yield _unpacked(form, body[at : at + packed])
        at += packed


def _unpacked(form: int, chunk: bytes) -> bytes:
    if form == _AS_IT_IS:
        return chunk
    if form not in (_LZ4, _GROUPED_LZ4):
        raise ValueError(f"a chunk is packed in a form that is not known: {form}")
    plain: bytes = lz4.frame.decompress(chunk)
    if form == _LZ4:
        return plain
    # Every first byte of four stands before every second, and so on.
    content, at = bytearray(len(plain)), 0
    for place in range(4):
        count = len(range(place, len(plain), 4))
        content[place::4] = plain[at : at + count]
        at += count
    return bytes(content)
