"""SIMD registers as Numba values: the vocabulary that the vector kernels are written in.

A kernel written with these values reads like ordinary Python,

    total = total + as_u16x32(lookup(table, load_u8x64(codes)))

and compiles to the machine code of hand-written intrinsics. Each register type is a Numba type whose data model is an LLVM
vector, so a value lives in registers: it can be a local variable, an argument or the result of an inlined function,
never an element of an array. Memory is reached by address (``array.ctypes.data``).

A 512-bit value is one register on AVX-512 and two on AVX2; LLVM splits it, as it does longer ones. Only `lookup`, sixty-four
look-ups in a 256-byte table at once, has no portable form: AVX-512 VBMI has one instruction for a half of the table,
AVX2 shuffles sixteen slices of sixteen bytes and blends them along the bits of the index.

With the JIT off, every operation is a numpy function, so a vector kernel can be stepped through.
"""

from __future__ import annotations

import ctypes
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from lookalike.kernels.target import JIT, WIDE

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()

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
i32x16 = Register("i32x16", I32, 16, np.int32)
f32x8 = Register("f32x8", F32, 8, np.float32)
f32x16 = Register("f32x16", F32, 16, np.float32)
f32x32 = Register("f32x32", F32, 32, np.float32)
f32x64 = Register("f32x64", F32, 64, np.float32)
FLOATS = (f32x8, f32x16, f32x32, f32x64)
table256 = Table()


def _operator(register, build, *operators):
    for op in operators:

        @infer_global(op)
        class Signature(ConcreteTemplate):
            cases = [signature(register, register, register)]

        @lower_builtin(op, register, register)
        def lower(context, builder, sig, args):
            return build(builder, *args)


_operator(u8x64, lambda b, x, y: b.add(x, y), operator.add)
_operator(u16x32, lambda b, x, y: b.add(x, y), operator.add, operator.iadd)
_operator(u16x32, lambda b, x, y: b.sub(x, y), operator.sub)
for _floats in FLOATS:
    _operator(_floats, lambda b, x, y: b.fadd(x, y), operator.add, operator.iadd)
    _operator(_floats, lambda b, x, y: b.fsub(x, y), operator.sub)
    _operator(_floats, lambda b, x, y: b.fmul(x, y), operator.mul)

# --- operations ------------------------------------------------------------------------------------------------------


def operation(result, *arguments, python):
    """Decorate ``build(builder, *values) -> LLVM value`` to make it callable in kernels, with these Numba types.

    `FLOATS` among them is a register of floats of any length, the same wherever it stands. `python` is the same operation on
    numpy arrays; it is what the name means when the JIT is off.
    """

    def decorate(build):
        if not JIT:
            return python

        def codegen(context, builder, sig, values):
            value = build(builder, *values)
            return context.get_dummy_value() if result is types.void else value

        def typed(*given):
            register = next((kind for kind, wanted in zip(given, arguments) if wanted is FLOATS), None)
            if register is not None and register not in FLOATS:
                return None
            kinds = [register if kind is FLOATS else kind for kind in (result, *arguments)]
            return kinds[0](*kinds[1:]), codegen

        by_arity = [
            lambda context: typed(),
            lambda context, a: typed(a),
            lambda context, a, b: typed(a, b),
            lambda context, a, b, c: typed(a, b, c),
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


# Memory. Blocks of codes and tables of bytes are 64-byte aligned; floats may lie anywhere.
load_u8x64 = _vector_load(u8x64, ctypes.c_uint8, 64)
load_i32x16 = _vector_load(i32x16, ctypes.c_int32, 64)
load_f32x8, load_f32x16, load_f32x32, load_f32x64 = (_vector_load(floats, ctypes.c_float, 4) for floats in FLOATS)
load_u8 = _scalar_load(types.uint8, I8, ctypes.c_uint8, 1)
load_u16 = _scalar_load(types.uint16, I16, ctypes.c_uint16, 2)
load_f32 = _scalar_load(types.float32, F32, ctypes.c_float, 4)
load_i32 = _scalar_load(types.int32, I32, ctypes.c_int32, 4)
load_i64 = _scalar_load(types.int64, I64, ctypes.c_int64, 8)
store_u8 = _scalar_store(types.uint8, I8, ctypes.c_uint8, 1)
store_u16 = _scalar_store(types.uint16, I16, ctypes.c_uint16, 2)
store_f32 = _scalar_store(types.float32, F32, ctypes.c_float, 4)
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


def _store_python(address, v):
    _at(address, ctypes.c_float, len(v))[:] = v


@operation(types.void, types.intp, FLOATS, python=_store_python)
def store(b, address, v):
    """Write floats to any address."""
    return b.store(v, _pointer(b, address, v.type), align=4)


@operation(types.void, types.intp, python=lambda address: None)
def prefetch(b, address):
    """Ask for the cache line at `address`; never faults."""
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    return b.call(function, [_pointer(b, address, I8), I32(0), I32(3), I32(1)])


@operation(f32x16, types.intp, python=lambda address: _at(address, ctypes.c_uint8, 16).astype(np.float32))
def bytes_as_f32x16(b, address):
    """Sixteen bytes from any address, as float32."""
    narrow, wide = ir.VectorType(I8, 16), ir.VectorType(I32, 16)
    return b.sitofp(b.zext(b.load(_pointer(b, address, narrow), typ=narrow, align=1), wide), f32x16.llvm)


def _store_bytes_python(address, v):
    _at(address, ctypes.c_uint8, 16)[:] = (v + np.float32(0.5)).astype(np.uint8)


@operation(types.void, types.intp, f32x16, python=_store_bytes_python)
def store_as_bytes(b, address, v):
    """Write sixteen floats from 0 to 255, rounded, as bytes to any address."""
    rounded = b.fptosi(b.fadd(v, ir.Constant(f32x16.llvm, [0.5] * 16)), ir.VectorType(I32, 16))
    narrow = ir.VectorType(I8, 16)
    return b.store(b.trunc(rounded, narrow), _pointer(b, address, narrow), align=1)


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


def _splat(floats):
    def build(b, value):
        one = b.insert_element(ir.Constant(floats.llvm, ir.Undefined), value, I32(0))
        return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, floats.lanes), [0] * floats.lanes))

    return operation(floats, types.float32, python=lambda value: np.full(floats.lanes, value, np.float32))(build)


_, splat_f32x16, splat_f32x32, splat_f32x64 = map(_splat, FLOATS)  # the same float in all lanes


@operation(FLOATS, FLOATS, FLOATS, FLOATS, python=lambda x, y, z: x * y + z)
def fma(b, x, y, z):
    """x · y + z, rounded once (twice with the JIT off)."""
    kind = ir.FunctionType(x.type, [x.type] * 3)
    return b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.fma.v{x.type.count}f32"), [x, y, z])


def _smaller(b, x, y):
    return b.select(b.fcmp_ordered("<", x, y), x, y)


def _larger(b, x, y):
    return b.select(b.fcmp_ordered(">", x, y), x, y)


def _across(combine, python):
    """The lanes of a register combined into one float, by halves."""

    def build(b, v):
        lanes = v.type.count
        while lanes > 1:
            lanes //= 2
            v = combine(b, _part(b, v, 0, lanes), _part(b, v, lanes, lanes))
        return b.extract_element(v, I32(0))

    return operation(types.float32, FLOATS, python=python)(build)


# Minima and maxima of numbers; with NaN among them the result is undefined.
minimum = operation(FLOATS, FLOATS, FLOATS, python=np.minimum)(_smaller)
maximum = operation(FLOATS, FLOATS, FLOATS, python=np.maximum)(_larger)
smallest_lane = _across(_smaller, np.min)
largest_lane = _across(_larger, np.max)
sum_lanes = _across(lambda b, x, y: b.fadd(x, y), lambda v: v.sum(dtype=np.float32))


def _half_as_f32(first_lane):
    wide = ir.VectorType(I32, 16)
    lanes = ir.Constant(wide, list(range(first_lane, first_lane + 16)))
    return operation(f32x16, u16x32, python=lambda v: v[first_lane : first_lane + 16].astype(np.float32))(
        lambda b, v: b.sitofp(b.zext(b.shuffle_vector(v, v, lanes), wide), f32x16.llvm)
    )


low_as_f32 = _half_as_f32(0)
high_as_f32 = _half_as_f32(16)


def _mask(relation):
    def build(b, x, y):
        mask = I64(0)
        for first in range(
            0, x.type.count, 16
        ):  # masks of more than sixteen lanes are not what AVX2 has instructions for
            true = b.fcmp_ordered(relation, _part(b, x, first, 16), _part(b, y, first, 16))
            mask = b.or_(mask, b.shl(b.zext(b.bitcast(true, I16), I64), I64(first)))
        return mask

    compare = {"<=": np.less_equal, "<": np.less}[relation]

    def python(x, y):
        return np.uint64(sum(1 << i for i in np.flatnonzero(compare(x, y)).tolist()))

    return operation(types.uint64, FLOATS, FLOATS, python=python)(build)


mask_le, mask_lt = _mask("<="), _mask("<")  # bit i is set where x[i] <= y[i], or x[i] < y[i]


@operation(types.int64, types.uint64, python=lambda mask: (int(mask) & -int(mask)).bit_length() - 1)
def lowest_bit(b, mask):
    """The number of the lowest bit that is set; the mask is not zero."""
    return b.cttz(mask, ir.Constant(ir.IntType(1), 1))


# --- products of bytes -----------------------------------------------------------------------------------------------

VNNI = WIDE  # AVX-512 VBMI came after it

zero_i32x16 = operation(i32x16, python=lambda: np.zeros(16, np.int32))(lambda b: ir.Constant(i32x16.llvm, [0] * 16))


@operation(i32x16, types.int32, python=lambda value: np.full(16, value, np.int32))
def splat_i32x16(b, value):
    one = b.insert_element(ir.Constant(i32x16.llvm, ir.Undefined), value, I32(0))
    return b.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, 16), [0] * 16))


@operation(f32x16, i32x16, python=lambda v: v.astype(np.float32))
def floats_of(b, v):
    return b.sitofp(v, f32x16.llvm)


@operation(f32x16, f32x16, python=np.rint)
def rounded_f32x16(b, v):
    """The nearest whole numbers."""
    kind = ir.FunctionType(f32x16.llvm, [f32x16.llvm])
    return b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.rint.v16f32"), [v])


def _store_signed_python(address, v):
    _at(address, ctypes.c_int8, 16)[:] = v.astype(np.int8)


@operation(types.void, types.intp, f32x16, python=_store_signed_python)
def store_as_signed(b, address, v):
    """Write sixteen whole numbers from −127 to 127 as signed bytes to any address."""
    narrow = ir.VectorType(I8, 16)
    return b.store(b.trunc(b.fptosi(v, ir.VectorType(I32, 16)), narrow), _pointer(b, address, narrow), align=1)


def _dot4_python(total, unsigned, signed):
    products = unsigned.view(np.uint8).astype(np.int32) * signed.view(np.int8)
    return total + products.reshape(16, 4).sum(axis=1, dtype=np.int32)


@operation(i32x16, i32x16, i32x16, i32x16, python=_dot4_python)
def dot4(b, total, unsigned, signed):
    """total + Σ of the four products of bytes in each lane, those of the first from 0 to 127, of the second signed.

    vpdpbusd, or three instructions of AVX2, whose sums of two such products fit in 16 bits.
    """
    if VNNI:
        kind = ir.FunctionType(i32x16.llvm, [i32x16.llvm, u8x64.llvm, u8x64.llvm])
        products = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx512.vpdpbusd.512")
        return b.call(products, [total, b.bitcast(unsigned, u8x64.llvm), b.bitcast(signed, u8x64.llvm)])
    v8, v16, v32 = ir.VectorType(I8, 32), ir.VectorType(I16, 16), ir.VectorType(I32, 8)
    pairs = cgutils.get_or_insert_function(b.module, ir.FunctionType(v16, [v8, v8]), "llvm.x86.avx2.pmadd.ub.sw")
    fours = cgutils.get_or_insert_function(b.module, ir.FunctionType(v32, [v16, v16]), "llvm.x86.avx2.pmadd.wd")
    ones = ir.Constant(v16, [1] * 16)
    halves = []
    for first in (0, 8):
        x, y = (b.bitcast(_part(b, v, first, 8), v8) for v in (unsigned, signed))
        halves.append(b.call(fours, [b.call(pairs, [x, y]), ones]))
    return b.add(total, b.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, 16), list(range(16)))))


# --- signs -----------------------------------------------------------------------------------------------------------


@operation(types.int64, types.uint64, python=lambda mask: int(mask).bit_count())
def bits_set(b, mask):
    """How many bits are set."""
    return b.ctpop(mask)


def _butterfly(distance):
    """x[i] + x[i + distance] and, behind it, x[i] − x[i + distance], where bit `distance` of i is not set."""
    lanes = np.arange(16)
    other, signs = lanes ^ distance, np.where(lanes & distance, -1, 1).astype(np.float32)

    def build(b, v):
        swapped = b.shuffle_vector(v, v, ir.Constant(ir.VectorType(I32, 16), other.tolist()))
        return b.fadd(b.fmul(v, ir.Constant(f32x16.llvm, signs.tolist())), swapped)

    return operation(f32x16, f32x16, python=lambda v: v * signs + v[other])(build)


butterfly1, butterfly2, butterfly4, butterfly8 = map(_butterfly, (1, 2, 4, 8))  # steps of a Hadamard transform


def _sign_pattern(bit):
    """Lane i is 1 where this bit of i is set, else −1."""
    signs = np.where(np.arange(16) >> bit & 1, 1, -1).astype(np.float32)
    return operation(f32x16, python=signs.copy)(lambda b: ir.Constant(f32x16.llvm, signs.tolist()))


signs_of_bit0, signs_of_bit1, signs_of_bit2, signs_of_bit3 = map(_sign_pattern, range(4))

# --- sixty-four look-ups in a table of sixteen bytes -----------------------------------------------------------------


@operation(u8x64, types.intp, python=lambda address: np.tile(_at(address, ctypes.c_uint8, 16), 4))
def load_row16(b, address):
    """The table of 16 bytes at a 16-byte aligned address, in each quarter of a register."""
    narrow = ir.VectorType(I8, 16)
    row = b.load(_pointer(b, address, narrow), typ=narrow, align=16)
    return b.shuffle_vector(row, row, ir.Constant(ir.VectorType(I32, 64), [*range(16)] * 4))


def _nibbles(b, v):
    """What `lookup16` takes: VBMI reads six bits, of which two choose between equal quarters; else they have to be cleared."""
    return v if WIDE else b.and_(v, ir.Constant(u8x64.llvm, [15] * 64))


low_nibbles = operation(u8x64, u8x64, python=lambda v: v & np.uint8(15))(_nibbles)


@operation(u8x64, u8x64, python=lambda v: v >> np.uint8(4))
def high_nibbles(b, v):
    """The upper four bits of each byte, as `lookup16` takes them."""
    words = b.lshr(b.bitcast(v, u16x32.llvm), ir.Constant(u16x32.llvm, [4] * 32))
    return _nibbles(b, b.bitcast(words, u8x64.llvm))


@operation(u8x64, u8x64, u8x64, python=lambda row, index: row[index])
def lookup16(b, row, index):
    """``table[index]`` for 64 nibbles of `low_nibbles` or `high_nibbles`, the table from `load_row16`."""
    if WIDE:
        kind = ir.FunctionType(u8x64.llvm, [u8x64.llvm] * 2)
        return b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx512.permvar.qi.512"), [row, index])
    half = ir.VectorType(I8, 32)
    kind = ir.FunctionType(half, [half] * 2)
    shuffle = cgutils.get_or_insert_function(b.module, kind, "llvm.x86.avx2.pshuf.b")
    halves = [b.call(shuffle, [_part(b, row, 0, 32), _part(b, index, first, 32)]) for first in (0, 32)]
    return b.shuffle_vector(*halves, ir.Constant(ir.VectorType(I32, 64), list(range(64))))


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
