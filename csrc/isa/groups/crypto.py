"""Cryptographic instructions of the T4 and later (OSA2011), and the carry-less ones of the M7 (OSA2015).

The bodies are calls of the pure functions of ``csrc/crypto/crypto.h``.  MD5 and the SHAs have no operand fields: they
work on fixed places of the FP register file ``c->f`` and mark it dirty in ``c->fprs`` themselves.  MPMUL and the
Montgomery instructions reach back into the register windows: ``MONT_ACCESS`` is a ``const struct window_access *``,
``SET_FCC(n, v)`` writes FSR.fcc``n`` and ``NEED_WINDOWS(behind)`` leaves with a fill trap while fewer windows than that
can be restored (see crypto.h).

The immediate of aes_kexpand1 stands in the rs3 field (13:9), that of all the others in the rs2 field (4:0), as the
GNU assembler encodes them.
"""

from __future__ import annotations

from ..table import Op, op

OSA2011 = "Oracle SPARC Architecture 2011, chapter 7"
OSA2015 = "Oracle SPARC Architecture 2015, chapter 7"


def _crypto(name: str, match: int, args: str, body: str, feature: str, *, source: str = OSA2011) -> Op:
    """A crypto instruction. All of them trap fp_disabled, also those without FP operand fields."""
    return op(name, match, args, body, feature=feature, flags="fpu", source=source)


def _call4(name: str, match: int, feature: str) -> Op:
    """fd1, fd2, fd3 -> fdd, done by the function of the same name."""
    return _crypto(name, match, "fd1, fd2, fd3 -> fdd", f"dr = {name}(da, db, dc);", feature)


def _call3(name: str, match: int, feature: str) -> Op:
    """fd1, fd2 -> fdd, done by the function of the same name."""
    return _crypto(name, match, "fd1, fd2 -> fdd", f"dr = {name}(da, db);", feature)


def _call2(name: str, match: int, feature: str) -> Op:
    """fd1 -> fdd, done by the function of the same name."""
    return _crypto(name, match, "fd1 -> fdd", f"dr = {name}(da);", feature)


def _block(name: str, match: int) -> Op:
    """One block of a hash, in place in the FP register file; the state is in the lower half (up to %d14)."""
    return _crypto(name, match, "", f"{name}_block(c->f); c->fprs |= FPRS_DL;", name)


def _bignum(name: str, match: int, feature: str, source: str = OSA2011) -> Op:
    """Operands in register windows and FP registers, imm5 = words - 1, outcome in fcc3."""
    behind, dirty = ("MPMUL_WINDOWS_BEHIND", "") if "mpmul" in name else \
        ("MONT_WINDOWS_BEHIND", " c->fprs |= FPRS_DL | FPRS_DU;")  # the result ends in %d24-%d58
    body = f"NEED_WINDOWS({behind}); SET_FCC(3, crypto_{name}(MONT_ACCESS, c->f, imm));{dirty}"
    return _crypto(name, match, "imm5lo", body, feature, source=source)


AES = [
    _call4("aes_eround01", 0x80C80000, "aes"),
    _call4("aes_eround23", 0x80C80020, "aes"),
    _call4("aes_dround01", 0x80C80040, "aes"),
    _call4("aes_dround23", 0x80C80060, "aes"),
    _call4("aes_eround01_l", 0x80C80080, "aes"),
    _call4("aes_eround23_l", 0x80C800A0, "aes"),
    _call4("aes_dround01_l", 0x80C800C0, "aes"),
    _call4("aes_dround23_l", 0x80C800E0, "aes"),
    _crypto("aes_kexpand1", 0x80C80100, "fd1, fd2, imm5 -> fdd", "dr = aes_kexpand1(da, db, imm);", "aes"),
    _call3("aes_kexpand0", 0x81B02600, "aes"),
    _call3("aes_kexpand2", 0x81B02620, "aes"),
]

DES = [
    _call4("des_round", 0x80C80120, "des"),
    _call2("des_ip", 0x81B02680, "des"),
    _call2("des_iip", 0x81B026A0, "des"),
    _crypto("des_kexpand", 0x81B026C0, "fd1, imm5lo -> fdd", "dr = des_kexpand(da, imm);", "des"),
]

KASUMI = [
    _call4("kasumi_fl_xor", 0x80C80140, "kasumi"),
    _call4("kasumi_fi_xor", 0x80C80160, "kasumi"),
    _call3("kasumi_fi_fi", 0x81B02700, "kasumi"),
]

CAMELLIA = [
    _call4("camellia_f", 0x80C80180, "camellia"),
    _call3("camellia_fl", 0x81B02780, "camellia"),
    _call3("camellia_fli", 0x81B027A0, "camellia"),
]

HASHES = [
    _block("md5", 0x81B02800),
    _block("sha1", 0x81B02820),
    _block("sha256", 0x81B02840),
    _block("sha512", 0x81B02860),
    _crypto("crc32c", 0x81B028E0, "fd1, fd2 -> fdd", "dr = crc32c_update(da, db);", "crc32c"),
]

BIGNUM = [
    _bignum("mpmul", 0x81B02900, "mpmul"),
    _bignum("montmul", 0x81B02920, "mont"),
    _bignum("montsqr", 0x81B02940, "mont"),
    _bignum("xmpmul", 0x83B02900, "xmpmul", OSA2015),
    _bignum("xmontmul", 0x83B02920, "xmont", OSA2015),
    _bignum("xmontsqr", 0x83B02940, "xmont", OSA2015),
]

ROWS = [*AES, *DES, *KASUMI, *CAMELLIA, *HASHES, *BIGNUM]
