"""Damage to a file's bytes, as disks, transfers, editors and people do it; a function of the seed."""

import random

_NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"1e-320", b"99999999999999999999", b"", b"0x10")
_BYTES = (0x00, 0x01, 0x2E, 0x7F, 0x80, 0xFF)


def mutated(data, seed):
    """The bytes with one to four changes."""
    rng = random.Random(seed)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(_CHANGES)(changed, rng)
    return bytes(changed)


def _place(data, rng):
    # Headers are short and decide most: every second change is among the first bytes.
    return rng.randrange(min(len(data), 200) if rng.random() < 0.5 else len(data)) if data else 0


def _flip(data, rng):
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _overwrite(data, rng):
    if data:
        place = _place(data, rng)
        values = bytes(rng.choice(_BYTES) for _ in range(rng.choice((1, 2, 4, 8))))
        data[place : place + len(values)] = values


def _insert(data, rng):
    place = _place(data, rng)
    data[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))


def _delete(data, rng):
    place = _place(data, rng)
    del data[place : place + rng.choice((1, 2, 7, 64, 1000))]


def _cut(data, rng):
    del data[_place(data, rng) :]


def _repeat(data, rng):
    place = _place(data, rng)
    data[place:place] = data[place : place + rng.choice((1, 4, 64, 1000))]


def _exchange(data, rng):
    first, second = sorted((_place(data, rng), _place(data, rng)))
    size = min(16, second - first)
    data[first : first + size], data[second : second + size] = (
        data[second : second + size], data[first : first + size],
    )  # fmt: skip


def _number(data, rng):
    """Another number in the place of one, where there are digits."""
    start = place = _place(data, rng)
    while place < len(data) and not 0x30 <= data[place] <= 0x39 and place - start < 2000:
        place += 1
    end = place
    while end < len(data) and (0x30 <= data[end] <= 0x39 or data[end] in b".-"):
        end += 1
    data[place:end] = rng.choice(_NUMBERS)


_CHANGES = (_flip, _overwrite, _insert, _delete, _cut, _repeat, _exchange, _number)
