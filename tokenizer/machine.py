"""The few machine instructions that numba has no word for: unaligned loads and stores, bit scans, prefetch.

The kernels of this package are compiled by `kernel`: no GIL, kept on disk.  Bytes are little-endian in a word, on
every machine that numba supports.
"""

import contextlib
import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic as numba_intrinsic

CACHE_LINE = 64

intrinsic: Any = numba_intrinsic  # what it makes is called with fewer arguments than it is written with


@functools.cache
def _sources() -> str:
    """Digest of the package's files that hold kernels."""
    files = {path.name: path.read_bytes() for path in pathlib.Path(__file__).parent.glob("*.py")}
    kernels = {name: content for name, content in files.items() if b"@kernel\n" in content or b"@intrinsic\n" in content}
    return hashlib.sha256(repr(sorted(kernels.items())).encode()).hexdigest()


class _PackageCache(FunctionCache):
    """numba's cache on disk, which watches only the file of the kernel itself: a kernel that calls one from another file
    would live on unchanged after the other was mended.  Here a change in any file with kernels compiles anew."""

    def _index_key(self, sig: object, codegen: object) -> tuple:
        return (*super()._index_key(sig, codegen), _sources())


def kernel(function: Callable) -> Callable:
    """The function, compiled at its first call (or read from the cache), running without the GIL."""
    dispatcher: Any = numba.njit(nogil=True, error_model="numpy")(function)
    with contextlib.suppress(RuntimeError):  # nowhere to write: neither the package's folder nor the user's
        dispatcher._cache = _PackageCache(function)
    return dispatcher


def _pointer(context, builder, array_type, array, offset, bits):  # type: ignore[no-untyped-def]
    data = context.make_array(array_type)(context, builder, array).data
    first = builder.bitcast(data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(first, [offset]), ir.IntType(bits).as_pointer())


@intrinsic
def load64(typingctx, array, offset):  # type: ignore[no-untyped-def]
    """The 8 bytes of `array` that begin `offset` bytes into it, as uint64; any alignment, no bounds check."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], 64)
        return builder.load(pointer, align=1)

    return types.uint64(array, types.int64), codegen


@intrinsic
def store64(typingctx, array, offset, value):  # type: ignore[no-untyped-def]
    """Writes 8 bytes at byte `offset`; any alignment, no bounds check."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], 64)
        builder.store(args[2], pointer, align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), codegen


@intrinsic
def trailing_zeros(typingctx, word):  # type: ignore[no-untyped-def]
    """How many zero bits lie below the lowest set bit; `word` is not 0."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


@intrinsic
def prefetch(typingctx, array, offset):  # type: ignore[no-untyped-def]
    """Asks for the cache line `offset` bytes into `array`: for reading and writing soon.  Never faults."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], 8)
        word = ir.IntType(32)
        instruction = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer.type], ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        )
        builder.call(instruction, [pointer, word(1), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic
def block_masks(typingctx, array, offset):  # type: ignore[no-untyped-def]
    """Six uint64 masks of the 64 bytes at `offset`, bit i for byte i, right for ASCII bytes:
    letters, digits, white space, the space itself, apostrophes, and bytes above 127 (which are in no other mask)."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        lanes = ir.VectorType(ir.IntType(8), 64)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        first = builder.bitcast(data, ir.IntType(8).as_pointer())
        block = builder.load(builder.bitcast(builder.gep(first, [args[1]]), lanes.as_pointer()), align=1)

        def every(byte):  # type: ignore[no-untyped-def]
            return ir.Constant(lanes, [byte] * 64)

        def among(vector, low, high):  # type: ignore[no-untyped-def]
            return builder.icmp_unsigned("<=", builder.sub(vector, every(low)), every(high - low))

        masks = (
            among(builder.or_(block, every(0x20)), ord("a"), ord("z")),
            among(block, ord("0"), ord("9")),
            builder.or_(among(block, 9, 13), builder.icmp_unsigned("==", block, every(0x20))),
            builder.icmp_unsigned("==", block, every(0x20)),
            builder.icmp_unsigned("==", block, every(ord("'"))),
            builder.icmp_unsigned(">=", block, every(0x80)),
        )
        words = [builder.bitcast(mask, ir.IntType(64)) for mask in masks]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 6)(array, types.int64), codegen


def aligned(rows: int, *, columns: int) -> np.ndarray:
    """Zeroed uint64 rows that begin at a cache line, so that a row of up to 8 words lies in one."""
    space = np.zeros(rows * columns + 8, dtype=np.uint64)
    first = (-space.ctypes.data % CACHE_LINE) // 8
    return space[first : first + rows * columns].reshape(rows, columns)
