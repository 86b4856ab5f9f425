"""Kafka's four codecs through the libraries that the broker links: what a fixture is written with, and read back by."""
import ctypes
import gzip

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
OUT_MAX = 1 << 20  # of one batch of a fixture


def library(name):
    return ctypes.CDLL(name)


def sized(function, raw, room, *more):
    """What a function like size_t f(out, room, in, bytes, ...) made of `raw`."""
    out = ctypes.create_string_buffer(room)
    function.restype = ctypes.c_size_t
    size = function(out, ctypes.c_size_t(room), raw, ctypes.c_size_t(len(raw)), *more)
    assert size <= room, f"{function.__name__} failed"
    return out.raw[:size]


def snappy(function, raw):
    out, size = ctypes.create_string_buffer(OUT_MAX), ctypes.c_size_t(OUT_MAX)
    status = function(raw, ctypes.c_size_t(len(raw)), out, ctypes.byref(size))
    assert status == 0, f"snappy answers {status}"
    return out.raw[:size.value]


def unpack_lz4(raw):
    lz4 = library("liblz4.so.1")
    context, out = ctypes.c_void_p(), ctypes.create_string_buffer(OUT_MAX)
    assert lz4.LZ4F_createDecompressionContext(ctypes.byref(context), 100) == 0
    room, read = ctypes.c_size_t(OUT_MAX), ctypes.c_size_t(len(raw))
    left = lz4.LZ4F_decompress(context, out, ctypes.byref(room), raw, ctypes.byref(read), None)
    lz4.LZ4F_freeDecompressionContext(context)
    assert left == 0 and read.value == len(raw), "a frame of lz4 is not whole"
    return out.raw[:room.value]


def pack(codec, raw):
    if codec == GZIP:
        return gzip.compress(raw, mtime=0)
    if codec == SNAPPY:
        return snappy(library("libsnappy.so.1").snappy_compress, raw)
    if codec == LZ4:
        return sized(library("liblz4.so.1").LZ4F_compressFrame, raw, OUT_MAX, None)
    if codec == ZSTD:
        return sized(library("libzstd.so.1").ZSTD_compress, raw, OUT_MAX, ctypes.c_int(3))
    return raw


def unpack(codec, raw):
    if codec == GZIP:
        return gzip.decompress(raw)
    if codec == SNAPPY:
        return snappy(library("libsnappy.so.1").snappy_uncompress, raw)
    if codec == LZ4:
        return unpack_lz4(raw)
    if codec == ZSTD:
        return sized(library("libzstd.so.1").ZSTD_decompress, raw, OUT_MAX)
    return raw
