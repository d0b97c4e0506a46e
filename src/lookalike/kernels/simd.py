"""SIMD registers as Numba values: the vocabulary that the vector kernels are written in.

A kernel written with these values reads like ordinary Python,

    total = total + as_u16x32(lookup(table, load_u8x64(codes)))

and compiles to the machine code of hand-written intrinsics. Each register type is a Numba type whose data model is an LLVM
vector, so a value lives in registers: it can be a local variable, an argument or the result of an inlined function,
never an element of an array. Memory is reached by address (``array.ctypes.data``).

A 512-bit value is one register on AVX-512 and two on AVX2; LLVM splits it. Only `lookup`, sixty-four
look-ups in a 256-byte table at once, has no portable form: AVX-512 VBMI has one instruction for a half of the table,
AVX2 shuffles sixteen slices of sixteen bytes and blends them along the bits of the index.

With the JIT off, every operation is a numpy function, so a vector kernel can be stepped through.
"""

from __future__ import annotations

import ctypes
import functools
import operator
import os
import warnings

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.registry import cpu_target
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from lookalike.kernels._jit import JIT

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()

# --- which instructions ----------------------------------------------------------------------------------------------


OFF = ("off", "0", "no", "false")
WISHES = ("auto", "avx512vbmi", "avx2", *OFF)  # the most that may be used; what the CPU lacks is not used either way


def _wish() -> str:
    """What LOOKALIKE_SIMD asks for; what is not understood is said once, and is as if it were not set."""
    given = os.environ.get("LOOKALIKE_SIMD", "")
    wish = given.strip().lower() or "auto"
    if wish in WISHES:
        return wish
    warnings.warn(
        f"lookalike kernels: LOOKALIKE_SIMD={given!r} is not understood, so the best instructions of this CPU are used; "
        f"expected one of {', '.join(WISHES)}",
        stacklevel=2,
    )
    return "auto"


@functools.cache
def instructions() -> str:
    """``"avx512vbmi"``, ``"avx2"`` or ``""``: what the vector kernels are compiled to, nothing where they cannot be.

    Numba's own target is asked, not the host: an instruction that the target lacks aborts the process, and
    ``NUMBA_CPU_NAME`` can make the two differ. ``LOOKALIKE_SIMD=off`` forces the plain twins, ``avx2`` the narrower form.
    """
    wish = _wish()
    if wish in OFF:
        return ""
    if not JIT:
        return "numpy"
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    if wish != "avx2" and "+avx512vbmi" in features and "+avx512bw" in features:
        return "avx512vbmi"
    return "avx2" if {"+avx2", "+fma", "+f16c"} <= set(features) else ""


def available() -> bool:
    """Whether the vector kernels can run; the only question about the CPU that anything asks."""
    return bool(instructions())


WIDE = instructions() == "avx512vbmi"  # a 512-bit value is one register, and there are 32 of them

# --- register types --------------------------------------------------------------------------------------------------


class Register(types.Type):
    """A vector of `lanes` equal elements."""

    def __init__(self, name, element, lanes, dtype):
        self.llvm, self.lanes, self.dtype = ir.VectorType(element, lanes), lanes, dtype
        super().__init__(name=name)


class Table(types.Type):
    """A table of 256 bytes: four registers on AVX-512, else the address that slices are read from."""

    llvm = ir.VectorType(I8, 256) if WIDE else I64

    def __init__(self):
        super().__init__(name="table256")


@register_model(Register)
@register_model(Table)
class RegisterModel(models.PrimitiveModel):
    def __init__(self, manager, register):
        super().__init__(manager, register, register.llvm)


u8x64 = Register("u8x64", I8, 64, np.uint8)
u16x32 = Register("u16x32", I16, 32, np.uint16)
f32x8 = Register("f32x8", F32, 8, np.float32)
f32x16 = Register("f32x16", F32, 16, np.float32)
table256 = Table()


def _operator(register, build, *operators):
    for op in operators:

        @infer_global(op)
        class Signature(ConcreteTemplate):
            cases = [signature(register, register, register)]

        @lower_builtin(op, register, register)
        def lower(context, builder, sig, args):
            return build(builder, *args)


_operator(u16x32, lambda b, x, y: b.add(x, y), operator.add, operator.iadd)
_operator(u16x32, lambda b, x, y: b.sub(x, y), operator.sub)
for _floats in (f32x8, f32x16):
    _operator(_floats, lambda b, x, y: b.fadd(x, y), operator.add, operator.iadd)
    _operator(_floats, lambda b, x, y: b.fsub(x, y), operator.sub)
    _operator(_floats, lambda b, x, y: b.fmul(x, y), operator.mul)

# --- operations ------------------------------------------------------------------------------------------------------


def operation(result, *arguments, python):
    """Decorate ``build(builder, *values) -> LLVM value`` to make it callable in kernels, with these Numba types.

    `python` is the same operation on numpy arrays; it is what the name means when the JIT is off.
    """

    def decorate(build):
        if not JIT:
            return python

        def codegen(context, builder, sig, values):
            value = build(builder, *values)
            return context.get_dummy_value() if result is types.void else value

        typed = result(*arguments), codegen
        by_arity = [
            lambda context: typed,
            lambda context, a: typed,
            lambda context, a, b: typed,
            lambda context, a, b, c: typed,
        ]
        return intrinsic(by_arity[len(arguments)])

    return decorate


def _at(address, ctype, count):
    """`count` elements of memory at `address`, as a numpy array that shares it."""
    return np.ctypeslib.as_array((ctype * count).from_address(int(address)))


def _pointer(b, address, element):
    return b.inttoptr(address, element.as_pointer())


def _vector_load(register, ctype, align):
    return operation(register, types.intp, python=lambda address: _at(address, ctype, register.lanes).copy())(
        lambda b, address: b.load(_pointer(b, address, register.llvm), typ=register.llvm, align=align)
    )


def _scalar_load(numba_type, element, ctype, align):
    return operation(numba_type, types.intp, python=lambda address: _at(address, ctype, 1)[0])(
        lambda b, address: b.load(_pointer(b, address, element), typ=element, align=align)
    )


def _scalar_store(numba_type, element, ctype, align):
    def python(address, value):
        _at(address, ctype, 1)[0] = value

    return operation(types.void, types.intp, numba_type, python=python)(
        lambda b, address, value: b.store(value, _pointer(b, address, element), align=align)
    )


# Memory. Blocks of codes and their biases are 64-byte aligned; everything else may lie anywhere.
load_u8x64 = _vector_load(u8x64, ctypes.c_uint8, 64)
load_f32x16 = _vector_load(f32x16, ctypes.c_float, 64)
loadu_f32x8 = _vector_load(f32x8, ctypes.c_float, 4)
loadu_f32x16 = _vector_load(f32x16, ctypes.c_float, 4)
load_u8 = _scalar_load(types.uint8, I8, ctypes.c_uint8, 1)
load_u16 = _scalar_load(types.uint16, I16, ctypes.c_uint16, 2)
load_f32 = _scalar_load(types.float32, F32, ctypes.c_float, 4)
load_i32 = _scalar_load(types.int32, I32, ctypes.c_int32, 4)
load_i64 = _scalar_load(types.int64, I64, ctypes.c_int64, 8)
store_u8 = _scalar_store(types.uint8, I8, ctypes.c_uint8, 1)
store_u16 = _scalar_store(types.uint16, I16, ctypes.c_uint16, 2)
store_f32 = _scalar_store(types.float32, F32, ctypes.c_float, 4)
store_i32 = _scalar_store(types.int32, I32, ctypes.c_int32, 4)
store_i64 = _scalar_store(types.int64, I64, ctypes.c_int64, 8)


def _halves_python(address):
    return _at(address, ctypes.c_uint16, 8).view(np.float16).astype(np.float32)


@operation(f32x8, types.intp, python=_halves_python)
def halves_as_f32x8(b, address):
    """Eight float16 from any address, as float32."""
    halves = ir.VectorType(ir.HalfType(), 8)
    return b.fpext(b.load(_pointer(b, address, halves), typ=halves, align=2), f32x8.llvm)


@operation(types.float32, types.uint32, python=lambda bits: np.uint32(bits).view(np.float32))
def bits_as_f32(b, bits):
    """The float32 with these bits."""
    return b.bitcast(bits, F32)


def _store_python(address, value):
    _at(address, ctypes.c_float, 16)[:] = value


@operation(types.void, types.intp, f32x16, python=_store_python)
def store_f32x16(b, address, value):
    """Write 16 floats to a 64-byte aligned address."""
    return b.store(value, _pointer(b, address, f32x16.llvm), align=64)


@operation(types.void, types.intp, f32x16, python=_store_python)
def storeu_f32x16(b, address, value):
    """Write 16 floats to any address."""
    return b.store(value, _pointer(b, address, f32x16.llvm), align=4)


@operation(types.void, types.intp, python=lambda address: None)
def prefetch(b, address):
    """Ask for the cache line at `address`; never faults."""
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    return b.call(function, [_pointer(b, address, I8), I32(0), I32(3), I32(1)])


# Sums of bytes in 16 bits.
zero_u16x32 = operation(u16x32, python=lambda: np.zeros(32, np.uint16))(lambda b: ir.Constant(u16x32.llvm, [0] * 32))
as_u16x32 = operation(u16x32, u8x64, python=lambda v: v.view(np.uint16))(lambda b, v: b.bitcast(v, u16x32.llvm))


@operation(u16x32, u16x32, python=lambda v: v >> np.uint16(8))
def high_bytes(b, v):
    """The upper byte of each 16-bit lane, as a number."""
    return b.lshr(v, ir.Constant(u16x32.llvm, [8] * 32))


@operation(u16x32, u16x32, python=lambda v: v << np.uint16(8))
def to_high_bytes(b, v):
    """Each 16-bit lane times 256, modulo 65536."""
    return b.shl(v, ir.Constant(u16x32.llvm, [8] * 32))


# Floats.
zero_f32x8 = operation(f32x8, python=lambda: np.zeros(8, np.float32))(lambda b: ir.Constant(f32x8.llvm, [0.0] * 8))
zero_f32x16 = operation(f32x16, python=lambda: np.zeros(16, np.float32))(lambda b: ir.Constant(f32x16.llvm, [0.0] * 16))


@operation(f32x16, types.float32, python=lambda value: np.full(16, value, np.float32))
def splat_f32x16(b, value):
    """The same float in all 16 lanes."""
    one = b.insert_element(ir.Constant(f32x16.llvm, ir.Undefined), value, I32(0))
    return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, 16), [0] * 16))


def _intrinsic_call(b, name, *values):
    kind = ir.FunctionType(values[0].type, [value.type for value in values])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), values)


@operation(f32x16, f32x16, f32x16, f32x16, python=lambda x, y, z: x * y + z)
def fma(b, x, y, z):
    """x · y + z, rounded once (twice with the JIT off)."""
    return _intrinsic_call(b, "llvm.fma.v16f32", x, y, z)


@operation(f32x8, f32x8, f32x8, f32x8, python=lambda x, y, z: x * y + z)
def fma_f32x8(b, x, y, z):
    """x · y + z on 8 lanes, rounded once (twice with the JIT off)."""
    return _intrinsic_call(b, "llvm.fma.v8f32", x, y, z)


@operation(f32x16, f32x16, f32x16, python=np.minimum)
def minimum(b, x, y):
    """The smaller of each pair of lanes; no NaN."""
    return b.select(b.fcmp_ordered("<", x, y), x, y)


@operation(f32x16, f32x16, f32x16, python=np.maximum)
def maximum(b, x, y):
    """The larger of each pair of lanes; no NaN."""
    return b.select(b.fcmp_ordered(">", x, y), x, y)


@operation(types.float32, f32x16, python=lambda v: v.sum(dtype=np.float32))
def sum_lanes(b, v):
    """The sum of the 16 lanes, by halves."""
    return _fold(b, v, b.fadd)


@operation(types.float32, f32x8, python=lambda v: v.sum(dtype=np.float32))
def sum_f32x8(b, v):
    """The sum of the 8 lanes, by halves."""
    return _fold(b, v, b.fadd)


def _fold(b, v, combine):
    lanes = v.type.count
    while lanes > 1:
        lanes //= 2
        kind = ir.VectorType(I32, lanes)
        low = b.shuffle_vector(v, v, ir.Constant(kind, list(range(lanes))))
        high = b.shuffle_vector(v, v, ir.Constant(kind, list(range(lanes, 2 * lanes))))
        v = combine(low, high)
    return b.extract_element(v, I32(0))


@operation(types.float32, f32x16, python=lambda v: v.min())
def smallest_lane(b, v):
    """The smallest of the 16 lanes; no NaN."""
    return _fold(b, v, lambda x, y: b.select(b.fcmp_ordered("<", x, y), x, y))


@operation(types.float32, f32x16, python=lambda v: v.max())
def largest_lane(b, v):
    """The largest of the 16 lanes; no NaN."""
    return _fold(b, v, lambda x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


def _half_as_f32(first_lane):
    wide = ir.VectorType(I32, 16)
    lanes = ir.Constant(wide, list(range(first_lane, first_lane + 16)))
    return operation(f32x16, u16x32, python=lambda v: v[first_lane : first_lane + 16].astype(np.float32))(
        lambda b, v: b.sitofp(b.zext(b.shuffle_vector(v, v, lanes), wide), f32x16.llvm)
    )


low_as_f32 = _half_as_f32(0)
high_as_f32 = _half_as_f32(16)


def _mask_python(x, y):
    return np.uint64(sum(1 << i for i in np.flatnonzero(x <= y).tolist()))


@operation(types.uint64, f32x16, f32x16, python=_mask_python)
def mask_le(b, x, y):
    """Bit i is set where x[i] <= y[i]."""
    return b.zext(b.bitcast(b.fcmp_ordered("<=", x, y), I16), I64)


@operation(types.int64, types.uint64, python=lambda mask: (int(mask) & -int(mask)).bit_length() - 1)
def lowest_bit(b, mask):
    """The number of the lowest bit that is set; the mask is not zero."""
    return b.cttz(mask, ir.Constant(ir.IntType(1), 1))


# --- sixty-four look-ups at once -------------------------------------------------------------------------------------


@operation(table256, types.intp, python=lambda address: _at(address, ctypes.c_uint8, 256).copy())
def load_table(b, address):
    """The table of 256 bytes at a 64-byte aligned address."""
    return b.load(_pointer(b, address, Table.llvm), typ=Table.llvm, align=64) if WIDE else address


@operation(u8x64, table256, u8x64, python=lambda table, index: table[index])
def lookup(b, table, index):
    """``table[index]`` for 64 byte indices."""
    return _lookup_vbmi(b, table, index) if WIDE else _lookup_avx2(b, table, index)


def _part(b, v, first, count):
    return b.shuffle_vector(v, v, ir.Constant(ir.VectorType(I32, count), list(range(first, first + count))))


def _lookup_vbmi(b, table, index):
    """vpermi2b reads the low seven bits of each index, so one serves each half of the table."""
    t0, t1, t2, t3 = (_part(b, table, first, 64) for first in range(0, 256, 64))
    kind = ir.FunctionType(u8x64.llvm, [u8x64.llvm] * 3)
    permute = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx512.vpermi2var.qi.512")
    below_128, from_128 = b.call(permute, [t0, index, t1]), b.call(permute, [t2, index, t3])
    return b.select(b.icmp_signed("<", index, ir.Constant(u8x64.llvm, [0] * 64)), from_128, below_128)


def _lookup_avx2(b, table, index):
    """vpshufb looks 32 low nibbles up in each slice of 16; bits 4 to 7 choose among the 16 results, pair by pair."""
    half = ir.VectorType(I8, 32)
    kind = ir.FunctionType(half, [half] * 2)
    shuffle = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx2.pshuf.b")
    words = ir.VectorType(I16, 16)
    slice_type, zero = ir.VectorType(I8, 16), ir.Constant(half, [0] * 32)
    both = ir.Constant(ir.VectorType(I32, 32), [*range(16)] * 2)
    halves = []
    for first in (0, 32):
        codes = _part(b, index, first, 32)
        nibbles = b.and_(codes, ir.Constant(half, [15] * 32))
        # bit 4 + level, moved to the sign of its byte (what enters from the neighbouring byte stays below the sign)
        signs = [
            b.bitcast(b.shl(b.bitcast(codes, words), ir.Constant(words, [3 - level] * 16)), half) for level in range(3)
        ] + [codes]
        takes = [b.icmp_signed("<", sign, zero) for sign in signs]

        def looked_up(at, level, nibbles=nibbles, takes=takes):
            if level < 0:
                address = b.add(table, I64(16 * at))
                row = b.load(_pointer(b, address, slice_type), typ=slice_type, align=16)
                return b.call(shuffle, [b.shuffle_vector(row, row, both), nibbles])
            low, high = looked_up(at, level - 1), looked_up(at + (1 << level), level - 1)
            return b.select(takes[level], high, low)

        halves.append(looked_up(0, 3))
    return b.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, 64), list(range(64))))
