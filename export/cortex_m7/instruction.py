"""One instruction as the pipeline sees it: which unit runs it, and what it reads and writes at which stage.

`decode` reads the text that arm-none-eabi-objdump prints. What it does not know it refuses: an instruction that counted
as one cycle by default would make the estimate look better than it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from training.errors import InputError


class Unit(Enum):
    """What runs the instruction; instructions of a unit share their latency and their rules of pairing."""

    ALU = auto()
    SHIFT = auto()
    BITS = auto()  # bit fields, extensions, saturation, parallel addition: DSP instructions that do not multiply
    MULTIPLY = auto()
    DIVIDE = auto()
    LOAD = auto()
    LOAD_NARROW = auto()
    LOAD_MULTIPLE = auto()
    STORE = auto()
    STORE_MULTIPLE = auto()
    BRANCH = auto()
    NOTHING = auto()
    FLOAT_MAC = auto()  # VFMA and its kin: one rounding
    FLOAT_CHAINED_MAC = auto()  # VMLA and its kin: the product is rounded in a stage of its own
    FLOAT_MULTIPLY = auto()
    FLOAT_ADD = auto()  # also conversion, comparison, selection
    FLOAT_DIVIDE = auto()  # also the square root
    FLOAT_MOVE = auto()  # between float registers
    FLOAT_CONSTANT = auto()
    FLOAT_TO_CORE = auto()
    CORE_TO_FLOAT = auto()
    FLOAT_LOAD = auto()
    FLOAT_LOAD_MULTIPLE = auto()
    FLOAT_STORE = auto()
    FLOAT_FLAGS = auto()


class Role(Enum):
    """For what an operand is read, which says at which stage it has to be there."""

    EARLY = auto()  # by the early ALU or the shifter
    LATE = auto()  # by the late ALU, a cycle after
    ADDRESS = auto()
    FACTOR = auto()
    ADDEND = auto()  # of an integer multiply-accumulate, a stage after the late ALU
    STORED = auto()
    TO_FLOAT = auto()
    FLOAT = auto()
    FLOAT_FACTOR = auto()  # of a multiply-accumulate
    FLOAT_ADDEND = auto()
    FLOAT_MOVED = auto()


@dataclass(frozen=True)
class Read:
    register: str
    role: Role


@dataclass(frozen=True)
class Memory:
    """The operand in brackets. `offset` in bytes; the index register is shifted left by `index_shift`."""

    base: str
    offset: int = 0
    index: str | None = None
    index_shift: int = 0
    post_indexed: bool = False
    writes_base: bool = False

    def address(self, registers: dict[str, int]) -> int | None:
        """The byte address with `registers` as they are before the instruction; None when one is not known.

        r15 is the instruction's own address: literals are read relative to the word-aligned address 4 bytes on.
        """
        if self.base not in registers or (self.index is not None and self.index not in registers):
            return None
        base = registers[self.base]
        if self.base == "r15":
            base = (base + 4) & ~3
        index = registers[self.index] << self.index_shift if self.index else 0
        return (base + index + (0 if self.post_indexed else self.offset)) & 0xFFFFFFFF


@dataclass(frozen=True)
class Instruction:
    """`registers` are named r0..r15 and s0..s31 (d0 is s0 and s1); `fpscr` stands for the flags of a float comparison.

    cycles: how long it keeps the issue stage. alone: nothing issues beside it. shifts_operand: its second operand
    goes through the shifter (`add r0, r1, r2, lsl #3`, or a constant made by shifting). double: 64-bit float.
    """

    text: str
    name: str
    unit: Unit
    reads: tuple[Read, ...] = ()
    writes: tuple[str, ...] = ()
    cycles: int = 1
    alone: bool = False
    shifts_operand: bool = False
    memory: Memory | None = None
    reads_flags: bool = False
    writes_flags: bool = False
    double: bool = False
    conditional: bool = False
    address: int = 0
    size: int = 4

    @property
    def writes_pc(self) -> bool:
        return "r15" in self.writes


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONDITIONS = _names("eq ne cs cc hs lo mi pl vs vc hi ls ge lt gt le al")
EARLY_ALU = _names("add addw sub subw mov movw movt adr")
"""What the early ALU can do, so that the result is there a cycle sooner."""
_COMPARISONS = _names("cmp cmn tst teq")
_ALU = EARLY_ALU | _COMPARISONS | _names("rsb mvn and orr eor bic orn adc sbc neg")
_PLAIN_CONSTANT = _names("addw subw movw movt adr")  # take 12 or 16 bits as they are
_SHIFTS = _names("lsl lsr asr ror rrx")
_EXTRACTIONS = _names("ubfx sbfx rev rev16 revsh rbit uxtb uxth sxtb sxth uxtb16 sxtb16")
_EXTENDED_ADDITIONS = _names("uxtab uxtah sxtab sxtah sxtab16 uxtab16")
_SATURATIONS = _names("ssat usat ssat16 usat16")
_PARALLEL = _names(
    "clz qadd qsub qdadd qdsub sadd16 ssub16 qadd16 qsub16 uadd16 usub16 shadd16 shsub16 sadd8 ssub8 qadd8 qsub8 "
    "uadd8 usub8 uhadd8 uhadd16 sasx ssax qasx qsax sel"
)
_BITS = _EXTRACTIONS | _EXTENDED_ADDITIONS | _SATURATIONS | _PARALLEL | _names("bfi bfc pkhbt pkhtb")
SHIFTLESS_BITS = _names("ssat usat qadd qsub clz")
"""The BITS instructions that leave the shifter to a neighbour."""
_PRODUCTS = _names("mul smuad smuadx smusd smusdx smulbb smulbt smultb smultt smulwb smulwt smmul smmulr")
_MACS = _names("mla mls smlad smladx smlsd smlsdx smlabb smlabt smlatb smlatt smlawb smlawt smmla smmlar smmls smmlsr")
_LONG_PRODUCTS = _names("smull umull")
_LONG_MACS = _names("smlal umlal umaal smlald smlaldx smlsld smlsldx smlalbb smlalbt smlaltb smlaltt")
_FLOAT_MACS = _names("vfma vfms vfnma vfnms")
_FLOAT_CHAINED_MACS = _names("vmla vmls vnmla vnmls")
_FLOAT_ADDITIONS = _names(
    "vadd vsub vcvt vcvtr vcvta vcvtm vcvtn vcvtp vcvtb vcvtt vmaxnm vminnm vrintz vrintm vrinta vrintn vrintp vrintr "
    "vrintx vselgt vselge vseleq vselvs"
)
_SETS_FLAGS = _SHIFTS | _names("add sub mov rsb mvn and orr eor bic orn adc sbc neg mul")

_REGISTER_ALIASES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12", "sp": "r13", "lr": "r14", "pc": "r15"}
_SHIFTED = re.compile(r"(lsl|asr|ror|lsr|rrx)\b")
_DOUBLE_CYCLES = {Unit.FLOAT_ADD: 2, Unit.FLOAT_MULTIPLY: 5, Unit.FLOAT_MAC: 7, Unit.FLOAT_CHAINED_MAC: 7}
_DIVIDE_CYCLES = 8  # SDIV and UDIV end early on small quotients; the data are not followed


@dataclass(frozen=True)
class _Text:
    """An instruction taken apart: `name` without condition, S and width; `operands` at the top-level commas."""

    name: str
    operands: tuple[str, ...]
    sets_flags: bool = False
    qualifiers: tuple[str, ...] = ()


@dataclass
class _Decoded:
    unit: Unit
    reads: list[Read] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    cycles: int = 1
    alone: bool = False
    shifts_operand: bool = False
    memory: Memory | None = None
    reads_flags: bool = False
    writes_flags: bool = False
    conditional: bool = False


def decode(text: str, address: int = 0, size: int = 4, in_it_block: bool = False) -> Instruction:
    """The instruction that `text` ("smlad r3, r4, r5, r3") says, `size` (2 or 4) bytes long, at `address`.

    in_it_block: whether an IT instruction before it makes it conditional; its condition is then part of its name.
    Raises InputError for an instruction that the model does not know.
    """
    plain = re.split(r"[@;<]", text)[0].strip()
    mnemonic, _, rest = plain.replace("\t", " ").partition(" ")
    name, *qualifiers = mnemonic.lower().split(".")
    handler, base, sets_flags = _find(name, in_it_block)
    if handler is None:
        raise InputError(f"the cycle model does not know the instruction {plain!r}")
    parsed = _Text(base, tuple(_split_operands(rest)), sets_flags, tuple(qualifiers))
    try:
        decoded = handler(parsed)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise InputError(f"the cycle model does not know this form of {base}: {plain!r}") from error
    double = "f64" in qualifiers
    cycles = decoded.cycles
    if double:
        cycles = 30 if decoded.unit == Unit.FLOAT_DIVIDE else _DOUBLE_CYCLES.get(decoded.unit, 1)
    instruction = Instruction(
        text=plain,
        name=base,
        unit=decoded.unit,
        reads=tuple(decoded.reads),
        writes=tuple(decoded.writes),
        cycles=cycles,
        alone=decoded.alone,
        shifts_operand=decoded.shifts_operand and size != 2,
        memory=decoded.memory,
        reads_flags=decoded.reads_flags or in_it_block,
        writes_flags=decoded.writes_flags,
        double=double,
        conditional=decoded.conditional,
        address=address,
        size=size,
    )
    if in_it_block and instruction.unit == Unit.BRANCH:
        return replace(instruction, conditional=True)
    return instruction


_Handler = Callable[[_Text], _Decoded]


def _find(name: str, in_it_block: bool) -> tuple[_Handler | None, str, bool]:
    """The handler of a mnemonic, its name without condition and S, and whether it sets the flags."""
    names = [name]
    if in_it_block and name[-2:] in CONDITIONS:
        names.append(name[:-2])
    for candidate in names:
        if candidate in _HANDLERS:
            return _HANDLERS[candidate], candidate, False
        if candidate[:-1] in _SETS_FLAGS and candidate.endswith("s"):
            return _HANDLERS[candidate[:-1]], candidate[:-1], True
    if name[:1] == "b" and name[1:] in CONDITIONS:
        return _conditional_branch, "b", False
    if re.fullmatch("it[te]{0,3}", name):
        return _nothing, "it", False
    return None, name, False


def _split_operands(text: str) -> Iterator[str]:
    depth, operand = 0, ""
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            yield operand.strip()
            operand = ""
        else:
            operand += character
    if operand.strip():
        yield operand.strip()


def _register(text: str) -> str:
    """The core register that `text` names."""
    name = _REGISTER_ALIASES.get(text.strip(), text.strip())
    if not re.fullmatch(r"r\d+", name):
        raise ValueError(text)
    return name


def _float_registers(text: str) -> list[str]:
    """The single registers that `text` (s0 or d0) stands for."""
    kind, number = text[0], int(text[1:])
    if kind == "s":
        return [text]
    if kind == "d":
        return [f"s{2 * number}", f"s{2 * number + 1}"]
    raise ValueError(text)


def _is_float(text: str) -> bool:
    return re.fullmatch(r"[sd]\d+", text) is not None


def _any_registers(text: str) -> list[str]:
    return _float_registers(text) if _is_float(text) else [_register(text)]


def _register_list(text: str) -> list[str]:
    """The registers of `{r0, r4-r7}` or `{s0-s15}`, doubles as pairs of singles."""
    registers = []
    for part in text.strip("{} ").split(","):
        first, _, last = part.strip().partition("-")
        if not last:
            registers += _any_registers(first)
            continue
        kind = first[0] if _is_float(first) else "r"
        start, end = (int(name[1:]) if _is_float(name) else int(_register(name)[1:]) for name in (first, last))
        for number in range(start, end + 1):
            registers += _any_registers(f"{kind}{number}")
    return registers


def _memory(operand: str, post_index: str | None = None) -> Memory:
    match = re.fullmatch(r"\[([^\]]*)\](!?)", operand)
    if match is None:
        raise ValueError(operand)
    base, *rest = (part.strip() for part in match[1].split(","))
    offset, index, index_shift = 0, None, 0
    if post_index is not None:
        offset = int(post_index.lstrip("#"), 0)
    elif rest and rest[0].startswith("#"):
        offset = int(rest[0][1:], 0)
    elif rest:
        index = _register(rest[0])
        index_shift = int(rest[1].split("#")[1]) if len(rest) > 1 else 0
    return Memory(_register(base), offset, index, index_shift, post_index is not None, bool(match[2] or post_index))


def _address_reads(memory: Memory) -> list[Read]:
    return [Read(register, Role.ADDRESS) for register in (memory.base, memory.index) if register]


def _access(unit: Unit, operands: tuple[str, ...], registers: list[str], alone: bool, load: bool) -> _Decoded:
    """A load or store of `registers`; `operands` are those from the bracket on."""
    memory = _memory(*operands)
    reads, writes = _address_reads(memory), [memory.base] if memory.writes_base else []
    if load:
        writes = registers + writes
    else:
        reads += [Read(register, Role.STORED) for register in registers]
    return _Decoded(unit, reads, writes, alone=alone, memory=memory)


def _nothing(_: _Text) -> _Decoded:
    return _Decoded(Unit.NOTHING)


def _branch(text: _Text) -> _Decoded:
    writes = ["r14"] if text.name in ("bl", "blx") else []
    if text.name in ("bx", "blx", "cbz", "cbnz"):
        reads = [Read(_register(text.operands[0]), Role.LATE)]
        return _Decoded(Unit.BRANCH, reads, writes, conditional=text.name.startswith("cb"))
    if text.name in ("tbb", "tbh"):
        inside = text.operands[0].strip("[]").split(",")
        return _Decoded(Unit.BRANCH, [Read(_register(name), Role.ADDRESS) for name in inside[:2]])
    return _Decoded(Unit.BRANCH, writes=writes)


def _conditional_branch(_: _Text) -> _Decoded:
    return _Decoded(Unit.BRANCH, reads_flags=True, conditional=True)


def _load(text: _Text) -> _Decoded:
    unit = Unit.LOAD if text.name == "ldr" else Unit.LOAD_NARROW
    return _access(unit, text.operands[1:], [_register(text.operands[0])], alone=False, load=True)


def _store(text: _Text) -> _Decoded:
    return _access(Unit.STORE, text.operands[1:], [_register(text.operands[0])], alone=False, load=False)


def _load_store_pair(text: _Text) -> _Decoded:
    load = text.name == "ldrd"
    registers = [_register(name) for name in text.operands[:2]]
    return _access(Unit.LOAD_MULTIPLE if load else Unit.STORE_MULTIPLE, text.operands[2:], registers, True, load)


def _float_load_store(text: _Text) -> _Decoded:
    load = text.name == "vldr"
    registers = _float_registers(text.operands[0])
    unit = Unit.FLOAT_LOAD if load else Unit.FLOAT_STORE
    return _access(unit, text.operands[1:], registers, alone=len(registers) > 1, load=load)


def _load_store_multiple(text: _Text) -> _Decoded:
    stack = text.name in ("push", "pop", "vpush", "vpop")
    base = "r13" if stack else _register(text.operands[0].rstrip("!"))
    registers = _register_list(text.operands[-1])
    writes = [base] if stack or text.operands[0].endswith("!") else []
    load = text.name.startswith(("ldm", "vldm", "pop", "vpop"))
    reads = [Read(base, Role.ADDRESS)]
    step = -4 * len(registers) if text.name in ("push", "vpush") or text.name.endswith("db") else 4 * len(registers)
    memory = Memory(base, step, post_indexed=step > 0, writes_base=True) if writes else Memory(base)
    cycles = (len(registers) + 1) // 2
    if load:
        unit = Unit.FLOAT_LOAD_MULTIPLE if text.name.startswith("v") else Unit.LOAD_MULTIPLE
        return _Decoded(unit, reads, registers + writes, cycles, alone=True, memory=memory)
    reads += [Read(register, Role.STORED) for register in registers]
    return _Decoded(Unit.STORE_MULTIPLE, reads, writes, cycles, alone=True, memory=memory)


def _float_move(text: _Text) -> _Decoded:
    target, *sources = text.operands
    if len(text.operands) > 2:  # two core registers and a double, or two singles
        core = [_register(name) for name in text.operands if not _is_float(name)]
        floats = [register for name in text.operands if _is_float(name) for register in _float_registers(name)]
        if len(core) != 2:
            raise ValueError(text)
        if _is_float(target):
            return _Decoded(Unit.CORE_TO_FLOAT, [Read(name, Role.TO_FLOAT) for name in core], floats, alone=True)
        return _Decoded(Unit.FLOAT_TO_CORE, [Read(name, Role.FLOAT_MOVED) for name in floats], core, alone=True)
    (source,) = sources
    if source.startswith("#"):
        return _Decoded(Unit.FLOAT_CONSTANT, writes=_float_registers(target))
    if not _is_float(target):
        return _Decoded(
            Unit.FLOAT_TO_CORE, [Read(name, Role.FLOAT_MOVED) for name in _float_registers(source)], [_register(target)]
        )
    if not _is_float(source):
        return _Decoded(Unit.CORE_TO_FLOAT, [Read(_register(source), Role.TO_FLOAT)], _float_registers(target))
    return _Decoded(
        Unit.FLOAT_MOVE, [Read(name, Role.FLOAT_MOVED) for name in _float_registers(source)], _float_registers(target)
    )


def _float_reads(operands: tuple[str, ...], role: Role) -> list[Read]:
    names = [name for operand in operands if not operand.startswith("#") for name in _float_registers(operand)]
    return [Read(name, role) for name in names]


def _float_sign(text: _Text) -> _Decoded:
    """VABS and VNEG take the path of a move."""
    return _Decoded(
        Unit.FLOAT_MOVE, _float_reads(text.operands[1:], Role.FLOAT_MOVED), _float_registers(text.operands[0])
    )


def _float_mac(text: _Text) -> _Decoded:
    unit = Unit.FLOAT_MAC if text.name in _FLOAT_MACS else Unit.FLOAT_CHAINED_MAC
    reads = _float_reads(text.operands[:1], Role.FLOAT_ADDEND) + _float_reads(text.operands[1:], Role.FLOAT_FACTOR)
    return _Decoded(unit, reads, _float_registers(text.operands[0]))


def _float_arithmetic(text: _Text) -> _Decoded:
    sources = text.operands[1:] if len(text.operands) > 1 else text.operands
    reads, writes = _float_reads(sources, Role.FLOAT), _float_registers(text.operands[0])
    if text.name in ("vmul", "vnmul"):
        return _Decoded(Unit.FLOAT_MULTIPLY, reads, writes)
    if text.name in ("vdiv", "vsqrt"):
        return _Decoded(Unit.FLOAT_DIVIDE, reads, writes, cycles=16 if text.name == "vdiv" else 14)
    return _Decoded(Unit.FLOAT_ADD, reads, writes, reads_flags=text.name.startswith("vsel"))


def _float_comparison(text: _Text) -> _Decoded:
    return _Decoded(Unit.FLOAT_ADD, _float_reads(text.operands, Role.FLOAT), ["fpscr"])


def _float_flags(text: _Text) -> _Decoded:
    if text.operands[0].lower() != "apsr_nzcv":
        raise ValueError(text)
    return _Decoded(Unit.FLOAT_FLAGS, [Read("fpscr", Role.LATE)], writes_flags=True)


def _divide(text: _Text) -> _Decoded:
    reads = [Read(_register(name), Role.LATE) for name in text.operands[-2:]]
    return _Decoded(Unit.DIVIDE, reads, [_register(text.operands[0])], cycles=_DIVIDE_CYCLES, alone=True)


def _multiply(text: _Text) -> _Decoded:
    registers = [_register(name) for name in text.operands]
    if text.name in _LONG_PRODUCTS | _LONG_MACS:
        writes, factors = registers[:2], registers[2:]
        addends = writes if text.name in _LONG_MACS else []
    elif text.name in _MACS:
        writes, factors, addends = registers[:1], registers[1:3], registers[3:]
        if not addends:
            raise ValueError(text)
    else:
        writes, factors, addends = registers[:1], registers[1:] if len(registers) > 2 else registers, []
    reads = [Read(name, Role.FACTOR) for name in factors] + [Read(name, Role.ADDEND) for name in addends]
    return _Decoded(Unit.MULTIPLY, reads, writes, writes_flags=text.sets_flags)


def _shift(text: _Text) -> _Decoded:
    target, *sources = text.operands
    if len(sources) == 1 and text.name != "rrx":  # lsls r0, r1: the target is also what is shifted
        sources.insert(0, target)
    reads = [Read(_register(name), Role.LATE) for name in sources if not name.startswith("#")]
    return _Decoded(Unit.SHIFT, reads, [_register(target)], writes_flags=text.sets_flags)


def _bits(text: _Text) -> _Decoded:
    shifted = any(_SHIFTED.match(operand) for operand in text.operands)
    registers = [_register(name) for name in text.operands if not name.startswith("#") and not _SHIFTED.match(name)]
    target, *sources = registers
    if text.name in _EXTRACTIONS:
        roles = [(registers[-1], Role.EARLY)]
    elif text.name == "bfc":
        roles = [(target, Role.LATE)]
    elif text.name == "bfi":
        roles = [(sources[0], Role.EARLY), (target, Role.LATE)]
    elif text.name in _EXTENDED_ADDITIONS or text.name == "pkhbt":
        roles = [(registers[-2], Role.LATE), (registers[-1], Role.EARLY)]
    elif text.name == "pkhtb":
        roles = [(registers[-2], Role.EARLY), (registers[-1], Role.EARLY)]
    elif text.name in _SATURATIONS:
        roles = [(registers[-1], Role.EARLY if shifted else Role.LATE)]
    else:
        roles = [(name, Role.LATE) for name in sources or [target]]
    return _Decoded(Unit.BITS, [Read(*role) for role in roles], [target], reads_flags=text.name == "sel")


def _alu(text: _Text) -> _Decoded:
    compares = text.name in _COMPARISONS
    sources = list(text.operands if compares else text.operands[1:])
    writes = [] if compares else [_register(text.operands[0])]
    result = _Decoded(Unit.ALU, writes=writes, writes_flags=compares or text.sets_flags)
    result.reads_flags = text.name in ("adc", "sbc")
    if text.name == "adr":
        return result
    shifter = _SHIFTED.match(sources[-1])
    if shifter:
        if text.name == "mov":  # mov r0, r1, lsl #2 is a shift by another name
            result.unit = Unit.SHIFT
            result.reads = [Read(_register(sources[0]), Role.LATE)]
            return result
        result.shifts_operand = True
        result.reads = [Read(_register(sources[-2]), Role.EARLY)]
        result.reads += [Read(_register(name), Role.LATE) for name in sources[:-2]]
        if len(sources) == 2 and writes and text.name != "mvn":  # and r0, r1, lsl #2
            result.reads.append(Read(writes[0], Role.LATE))
        return result
    for source in sources:
        if source.startswith("#"):
            constant = int(source[1:], 0) & 0xFFFFFFFF
            result.shifts_operand |= text.name not in _PLAIN_CONSTANT and _is_made_by_shifting(constant)
        else:
            result.reads.append(Read(_register(source), Role.LATE))
    two_address = writes and len(sources) == 1 and text.name not in ("mov", "movw", "movt", "mvn", "neg")
    if two_address:
        result.reads.append(Read(writes[0], Role.LATE))
    return result


def _is_made_by_shifting(constant: int) -> bool:
    """Whether a 32-bit constant is neither 8 bits nor a pattern of them (Armv7-M, ThumbExpandImm)."""
    if constant <= 0xFF:
        return False
    even, odd = constant & 0x00FF00FF, constant >> 8 & 0x00FF00FF
    even_repeats, odd_repeats = even >> 16 == even & 0xFF, odd >> 16 == odd & 0xFF
    return not (even_repeats and odd_repeats and (even == 0 or odd == 0 or even == odd))


_HANDLERS: dict[str, _Handler] = {
    **dict.fromkeys(("nop", "dsb", "isb", "dmb"), _nothing),
    **dict.fromkeys(("b", "bl", "bx", "blx", "cbz", "cbnz", "tbb", "tbh"), _branch),
    **dict.fromkeys(("ldr", "ldrb", "ldrh", "ldrsb", "ldrsh"), _load),
    **dict.fromkeys(("str", "strb", "strh"), _store),
    **dict.fromkeys(("ldrd", "strd"), _load_store_pair),
    **dict.fromkeys(("vldr", "vstr"), _float_load_store),
    **dict.fromkeys(
        _names("push pop ldm ldmia ldmdb stm stmia stmdb vpush vpop vldm vldmia vldmdb vstm vstmia vstmdb"),
        _load_store_multiple,
    ),
    "vmov": _float_move,
    **dict.fromkeys(("vabs", "vneg"), _float_sign),
    **dict.fromkeys(_FLOAT_MACS | _FLOAT_CHAINED_MACS, _float_mac),
    **dict.fromkeys(_FLOAT_ADDITIONS | {"vmul", "vnmul", "vdiv", "vsqrt"}, _float_arithmetic),
    **dict.fromkeys(("vcmp", "vcmpe"), _float_comparison),
    "vmrs": _float_flags,
    **dict.fromkeys(("sdiv", "udiv"), _divide),
    **dict.fromkeys(_PRODUCTS | _MACS | _LONG_PRODUCTS | _LONG_MACS, _multiply),
    **dict.fromkeys(_SHIFTS, _shift),
    **dict.fromkeys(_BITS, _bits),
    **dict.fromkeys(_ALU, _alu),
}
