"""Read resource files of Qt (``.rcc``): a tree of named files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_PACKED, _FOLDER, _ZSTD = 1, 2, 4  # flags of a node


def files(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file in a resource file, in the order of its tree.

    The layout is that of Qt's rcc tool (qtbase, src/tools/rcc/rcc.cpp), numbers big-endian:
    a header with the places of three tables (tree, data, names), and nodes that point into them.

    Raises ValueError on something else, or on zstd, which the standard library has not.
    """
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", content)
    if magic != b"qres" or version not in (1, 2, 3):
        raise ValueError("not a Qt resource file of version 1, 2 or 3")
    node_size = 14 if version == 1 else 22  # since version 2 with the time of the last change

    def name_at(offset: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + offset)
        start = names + offset + 6  # after the length and a hash
        return content[start : start + 2 * length].decode("utf-16-be")

    def content_at(offset: int, flags: int) -> bytes:
        (length,) = struct.unpack_from(">I", content, data + offset)
        part = content[data + offset + 4 : data + offset + 4 + length]
        if flags & _ZSTD:
            raise ValueError("packed with zstd")
        return zlib.decompress(part[4:]) if flags & _PACKED else part

    def walk(number: int, path: str) -> Iterator[tuple[str, bytes]]:
        place = tree + number * node_size
        name, flags, first, second = struct.unpack_from(">IHII", content, place)
        if number:  # the root has no name
            path = f"{path}/{name_at(name)}" if path else name_at(name)
        if flags & _FOLDER:
            for child in range(second, second + first):
                yield from walk(child, path)
        else:
            yield path, content_at(second, flags)

    yield from walk(0, "")
