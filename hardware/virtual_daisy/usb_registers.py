"""The registers of OTG_FS as RM0433 57.14 has them, for the device side."""

from hardware.virtual_daisy.peripheral import Register, bits

ENDPOINTS = 9
# GINTSTS
SOF, RXFLVL, GINAKEFF, GONAKEFF, ESUSP, USBSUSP, USBRST, ENUMDNE = (1 << n for n in (3, 4, 6, 7, 10, 11, 12, 13))
EOPF, IEPINT, OEPINT, IISOIXFR, IPXFR, SRQINT, WKUINT = (1 << n for n in (15, 18, 19, 20, 21, 30, 31))
CLEARED_BY_ONE = bits(1, 3, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 27, 28, 29, 30, 31)
# DIEPINT and DOEPINT
XFRC, EPDISD, STUP, ITTXFE, OTEPDIS, B2BSTUP, INEPNE, TXFE, NAK_SENT = (1 << n for n in (0, 1, 3, 4, 4, 6, 6, 7, 13))
# DIEPCTL and DOEPCTL
USBAEP, PARITY, NAKSTS, STALLED, CNAK, SNAK, EVEN, ODD, EPDIS, EPENA = (
    1 << n for n in (15, 16, 17, 21, 26, 27, 28, 29, 30, 31)
)
# PKTSTS of GRXSTSP
OUT_NAK, OUT_DATA, OUT_DONE, SETUP_DONE, SETUP_DATA = 1, 2, 3, 4, 6
CTL_FIXED = bits((10, 0), (19, 18))


def endpoint_registers(n: int) -> tuple[Register, ...]:
    at = 0x20 * n
    common = bits(15, 21) if n else bits(21)
    actions = bits(26, 27, 30, 31) | (bits(28, 29) if n else 0)
    size = bits((10, 0), (19, 18)) if n else bits(0, 1)
    fixed = bits(16, 17) if n else bits(15, 17, (19, 18))
    start = 0 if n else USBAEP
    return (
        Register(f"DIEPCTL{n}", 0x900 + at, start, common | size | bits((25, 22)), fixed, actions),
        Register(f"DIEPINT{n}", 0x908 + at, 0x80, 0, TXFE, 0x2B7F),
        Register(f"DIEPTSIZ{n}", 0x910 + at, 0, bits((18, 0), (30, 19)) if n else bits((6, 0), 19, 20)),
        Register(f"DTXFSTS{n}", 0x918 + at, 0x200, read_only=0xFFFF, live=True),
        Register(f"DOEPCTL{n}", 0xB00 + at, start, common | (size if n else 0) | bits(20), fixed | 3, actions),
        Register(f"DOEPINT{n}", 0xB08 + at, 0x80, 0, 0, 0xF17F | 0x80),
        Register(f"DOEPTSIZ{n}", 0xB10 + at, 0, bits((28, 0)) if n else bits((6, 0), 19, 30, 29), bits(30, 29)),
    )


REGISTERS = (
    Register("GOTGCTL", 0x000, 0x00010000, bits((7, 2), 9, 10, 11, 12, 20), bits(0, 8, 16, 17, 18, 19, 21)),
    Register("GOTGINT", 0x004, action=bits(2, 8, 9, 17, 18, 19, 20)),
    Register("GAHBCFG", 0x008, 0, bits(0, (4, 1), 5, 7, 8)),
    Register("GUSBCFG", 0x00C, 0x1440, bits((2, 0), 6, 8, 9, (13, 10), 15, (22, 17), 25, 29, 30)),
    Register("GRSTCTL", 0x010, 0x80000000, 0, bits(31, 30), bits(0, 1, 4, 5, (10, 6))),
    Register("GINTSTS", 0x014, 0x04000021, 0, bits(0, 2, (7, 4), 18, 19, (26, 24)), CLEARED_BY_ONE),
    Register("GINTMSK", 0x018, 0, bits((7, 1), (15, 10), (31, 18))),
    Register("GRXSTSR", 0x01C, read_only=0xFFFFFFFF, live=True),
    Register("GRXSTSP", 0x020, read_only=0xFFFFFFFF, live=True),
    Register("GRXFSIZ", 0x024, 0x400, 0xFFFF),
    Register("DIEPTXF0", 0x028, 0x02000200, 0xFFFFFFFF),
    Register("GCCFG", 0x038, 0, bits((21, 16)), 0xF),
    Register("CID", 0x03C, 0x2300, 0xFFFFFFFF),
    *(Register(f"DIEPTXF{n}", 0x100 + 4 * n, 0x02000200 + 0x200 * n, 0xFFFFFFFF) for n in range(1, ENDPOINTS)),
    Register("DCFG", 0x800, 0x02200000, bits((2, 0), (12, 4), 14, 15, (25, 24)), bits((22, 18))),
    Register("DCTL", 0x804, 2, bits(0, 1, (6, 4), 11, 18), bits(2, 3), bits((10, 7))),
    Register("DSTS", 0x808, 0x10, 0, 0xFFFFFFFF),
    Register("DIEPMSK", 0x810, 0, bits((6, 0), 8, 9, 13)),
    Register("DOEPMSK", 0x814, 0, bits((6, 0), 8, 9, 12, 13, 14)),
    Register("DAINT", 0x818, 0, 0, 0xFFFFFFFF),
    Register("DAINTMSK", 0x81C, 0, 0xFFFFFFFF),
    Register("DVBUSDIS", 0x828, 0x17D7, 0xFFFF),
    Register("DVBUSPULSE", 0x82C, 0x5B8, 0xFFF),
    Register("DTHRCTL", 0x830, 0, 0x0FFF0FFF),
    Register("DIEPEMPMSK", 0x834, 0, 0xFFFF),
    Register("PCGCCTL", 0xE00, 0, bits(0, 1), bits((7, 4))),
    *(register for n in range(ENDPOINTS) for register in endpoint_registers(n)),
)
