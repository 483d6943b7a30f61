"""Forth at the prompt: exact transcripts of what is typed and what appears."""

from __future__ import annotations

import pytest
from firmware_support import FakeHost, Session, session

from emulator.firmware.forth.space import SPACE_BASE

LINES = [
    ("1 2 + .", "3 \n"),
    ("10 .  d# 10 .  a decimal . hex", "10 a 10 \n"),
    ("h# ff .d  o# 17 .d  b# 101 .d", "255 15 5 \n"),
    ("-1 .  -1 u.  -1 .h", "-1 ffffffffffffffff -1 \n"),
    ("f000.0000 . 12,34 .", "f0000000 1234 \n"),
    ("12. . .", "0 12 \n"),
    ("7 2 / . 7 2 mod . -7 2 / . -7 2 mod .", "3 1 -3 -1 \n"),
    ("7 2 /mod . . 6 4 3 */ .", "3 1 8 \n"),
    ("1 2 3 .s", "1 2 3 \n"),
    ("1 2 3 clear .s", "Empty \n"),
    ("1 2 swap . .  1 2 over . . .  1 2 3 rot . . .", "1 2 1 2 1 1 3 2 \n"),
    ("5 ?dup . . 0 ?dup .", "5 5 0 \n"),
    ("1 2 3 2 pick . depth . clear", "1 3 \n"),
    ("1 5 lshift . 80 4 rshift . -8 1 >>a .", "20 8 -4 \n"),
    ("3 4 < . 3 4 > . -1 1 u< . 5 1 9 between . 9 1 9 within .", "-1 0 0 -1 0 \n"),
    ("12345678 lwsplit . . 5678 1234 wljoin . 1234 wbflip .", "1234 5678 12345678 3412 \n"),
    ('." hello" cr ." world"', "hello\nworld\n"),
    ('" abc" type space " a"(42 43)d" type', "abc aBCd\n"),
    ("ascii A . control C . 41 emit 42 emit", "41 3 AB\n"),
    ("d# 65 <# u# ascii - hold u#s u#> type", "4-1\n"),
    ("5 3 .r -5 4 .r 2 spaces 1 .", "  5  -5  1 \n"),
    (": sq dup * ; 9 sq .", "51 \n"),
    ("7 0 do i . loop", "0 1 2 3 4 5 6 \n"),
    ("7 0 do i . 3 +loop", "0 3 6 \n"),
    ("0 0 ?do i . loop ." + '" none"', "none\n"),
    ("3 begin dup . 1- dup 0= until drop", "3 2 1 \n"),
    ("3 begin dup while dup . 1- repeat drop", "3 2 1 \n"),
    ('1 if ." yes" else ." no" then 0 if ." yes" else ." no" then', "yesno\n"),
    ('2 case 1 of ." one" endof 2 of ." two" endof ." many" endcase', "two\n"),
    ("3 0 do 3 0 do j . i . loop loop", "0 0 0 1 0 2 1 0 1 1 1 2 2 0 2 1 2 2 \n"),
    ("5 0 do i 3 = if leave then i . loop", "0 1 2 \n"),
    (": f dup 1 > if dup 1- recurse * then ; d# 10 f .d", "3628800 \n"),
    ("variable v 5 v ! 3 v +! v @ . v on v @ . v off v ?", "8 -1 0 \n"),
    ("5 constant five 6 value six five . six . 7 to six six .", "5 6 7 \n"),
    (": const create , does> @ ; 9 const nine nine .", "9 \n"),
    ("defer act ' 1+ to act 5 act .", "6 \n"),
    ("create t 1 c, 2 c, 3 w, t c@ . t 1+ c@ . t 2+ w@ .", "1 2 3 \n"),
    (": t1 ['] 1+ execute ; 4 t1 .", "5 \n"),
    ('" 2 3 + ." evaluate', "5 \n"),
    ("alias plus + 2 3 plus .", "5 \n"),
    ("\\ a comment", ""),
    ("( a comment ) 1 .", "1 \n"),
    ("BASE @ .d DECIMAL 10 . HEX", "16 10 \n"),
    ("struct 4 field >a 8 field >b . 100 >b .", "c 104 \n"),
    ("1 >r 2 r> . .", "1 2 \n"),
    (": im 7 ; immediate : t3 [ im ] literal 1+ ; t3 .", "8 \n"),
    (": endif [compile] then ; immediate : t4 if 1 else 2 endif ; 0 t4 .", "2 \n"),
    (": t5 postpone if ; immediate", ""),
    (': n s" 12" $number ; n . .', "0 12 \n"),
    ('" a,b" ascii , left-parse-string type space type', "a b\n"),
    ("here 8 allot here swap - .", "8 \n"),
    ("7 3 u/mod . . 6 4 2 */mod . .", "2 1 c 0 \n"),
    ("octal 10 . hex 8 . 2 base ! 101 . hex", "10 8 101 \n"),
    (": t exit 1 . ; t 2 .", "2 \n"),
    ("1 . exit 2 .", "1 \n"),
    (": t 5 0 do i . i 2 = if unloop exit then loop ; t", "0 1 2 \n"),
    ("5 0 do i 2 = ?leave i . loop", "0 1 \n"),
    (":noname 7 ; execute .", "7 \n"),
    ("20 buffer: b b 20 ff fill b c@ . see b", "ff \n20 buffer: b\n"),
    ("defer z ' z behavior ' noop = .", "-1 \n"),
    ("variable v ' v >body v = .", "-1 \n"),
    (": t [char] A . ascii B . ; t char C .", "41 42 43 \n"),
    ('" dup" pad pack find . drop " nosuch" pad pack find . drop', "-1 0 \n"),
    ('" if" $find . drop " nosuch" $find . 2drop', "1 0 \n"),
    ('" hi" pad pack count type', "hi\n"),
    ("parse-word abc type ascii , parse hello, type bl word abc count type", "abchelloabc\n"),
    ("-1 parse all the rest", ""),
    ('" abc  " -trailing type " abcde" 2 /string type', "abccde\n"),
    ('" a" " b" compare . " a" " a" compare . " a" " a" $= .', "-1 0 -1 \n"),
    ("ascii 7 d# 10 digit . . ascii z d# 10 digit . emit", "-1 7 0 z\n"),
    ("key? . exit? .", "0 0 \n"),
    ('here " ab" string, count type', "ab\n"),
    (".( now)", "now\n"),
    ("here 10 allot 1 2 2 pick 2! 2@ . .", "2 1 \n"),
    ("create cw 8001 w, cw <w@ . cw w@ . create cl 80000001 l, cl <l@ .", "-7fff 8001 -7fffffff \n"),
    ("pad 4 erase pad c@ . pad 4 blank pad c@ .", "0 20 \n"),
    ("pad 4 41 fill pad 4 + 4 42 fill pad dup 4 + 4 comp .", "-1 \n"),
    ("1 4000 lpoke . 4000 l? 5 8000 lpoke .", "-1 1 0 \n"),
    ("1 c, align here 7 and . state @ . pad 0<> .", "0 0 -1 \n"),
    ("5 s. ??cr 2 .", "5 \n2 \n"),
    ("8 to-column 2 .", "        2 \n"),
    ("41 0 <# # # #> type -5 dup abs 0 <# #s rot sign #> type", "41-5\n"),
    ("5 (.) type -5 (.) type 5 (u.) type 5 4 u.r", "5-55   5\n"),
    ("h# zz", "zz ?\n"),
    (
        "11223344 lbsplit . . . . 44 33 22 11 bljoin . 1234 wbflip . 11223344 lwflip .",
        "11 22 33 44 11223344 3412 33441122 \n",
    ),
    ("80000000 l->n . 8000 w->n . -1 n->l .", "-80000000 -8000 ffffffff \n"),
    ("1 8 ca+ . 1 2 wa+ . 1 2 la+ . 1 2 xa+ .", "9 5 9 11 \n"),
    ("sifting $nv", "$nvunalias    $nvalias \n"),
    (": t 1 ; ' t execute . : t2 compile t ; immediate : t3 t2 ; t3 .", "1 1 \n"),
    (": k 5 constant ; k five five .", "5 \n"),
    ("ok ok 1 .", "1 \n"),
    ("ffffffffffffffffffffff . -ffffffffffffffffffffff .", "-1 1 \n"),
    (".5 1.2.3 . 1.. ", ".5 ?\n"),
    ('" a"(zz41)"n" type', "aA\n"),
]


@pytest.mark.parametrize(("typed", "expected"), LINES, ids=[row[0] for row in LINES])
def test_a_line(typed: str, expected: str) -> None:
    assert session().line(typed) == expected


ERRORS = [
    ("xyzzy", "xyzzy ?\n"),
    ("1 . xyzzy 2 .", "1 \nxyzzy ?\n"),
    (".", "Stack Underflow\n"),
    ("1 2 3 drop drop drop drop", "Stack Underflow\n"),
    ("begin 1 again", "Stack Overflow\n"),
    (": r recurse ; r", "Return Stack Overflow\n"),
    ("1 0 /", "ERROR: Last Trap: Division by Zero\n\n"),
    ("0 @", "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"),
    ("4001 l@", "ERROR: Last Trap: Memory Address not Aligned\n\n"),
    ("abort", ""),
    ('1 abort" no good"', "no good\n"),
    ("then", "Unstructured\n"),
    ("if loop", "Unstructured\n"),
    (": x if ;", "Unstructured\n"),
    ("r>", "Return Stack Underflow\n"),
    ("1234 execute", "Invalid execution token\n"),
    ("forget dup", "Can't forget dup\n"),
    ("i", "Not in a do loop\n"),
    ("d# zz", "zz ?\n"),
    ("-5 throw", "Error -5\n"),
    ("' nosuch", "nosuch ?\n"),
    ("defer a defer b ' b to a ' a to b a", "Deferred words in a circle\n"),
    ("4000 ffffffff 0 fill", "Length too large\n"),
    ("100000000 allot", "Dictionary overflow\n"),
    ("5 pick", "Stack Underflow\n"),
    ("5 roll", "Stack Underflow\n"),
    ("]", "] outside of a definition\n"),
    (";", "; outside of a definition\n"),
    (": a : b", "Definition inside a definition\n"),
    (": a :noname", "Definition inside a definition\n"),
    (": a [ 1 if", "if while interpreting inside a definition\n"),
    ("immediate", "No word defined\n"),
    ("5 literal", "Only while compiling\n"),
    ("recurse", "recurse outside of a definition\n"),
    ("does>", "Only while compiling\n"),
    (": t does> ; t", "does> without create\n"),
    ("5 to", "Missing name\n"),
    ("5 to dup", "Can't change that word\n"),
    ("defer d 5 to d", "Invalid execution token\n"),
    (": abcdefghijklmnopqrstuvwxyzabcdefghij ;", "Name too long\n"),
    ("' dup behavior", "Not a deferred word\n"),
    ("' dup >body", "No body\n"),
    ("endcase", "Unstructured\n"),
    ("1 case then", "Unstructured\n"),
    ("of", "Unstructured\n"),
    ("case 1 if of", "Unstructured\n"),
    ("100000 buffer: x", "Dictionary overflow\n"),
    ("1 2 0 fm/mod", "ERROR: Last Trap: Division by Zero\n\n"),
    ("0 99 spacex@", "ERROR: Last Trap: Data Access Exception\n\n"),
    ("4001 15 spacel@", "ERROR: Last Trap: Memory Address not Aligned\n\n"),
    ("1 4001 15 spacel!", "ERROR: Last Trap: Memory Address not Aligned\n\n"),
    ("8000 15 spacel@", "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"),
    ("1 8000 15 spacel!", "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"),
    ("1 4001 !", "ERROR: Last Trap: Memory Address not Aligned\n\n"),
    ("-8 @", "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"),
    ("4000 100000000 type", "Length too large\n"),
    ("4000 1000000 c@ type", "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"),
    ("begin 1 >r again", "Return Stack Overflow\n"),
    ("3 0 do 1 >r loop", "Return Stack Imbalance\n"),
    ("j", "Not in a do loop\n"),
    ("-1 throw", ""),
    ("here negate allot", "Dictionary overflow\n"),
    ("begin again", "Too many steps\n"),
    ("<# 100 0 do 41 hold loop", "Pictured numeric output string overflow\n"),
]


@pytest.mark.parametrize(("typed", "expected"), ERRORS, ids=[row[0] for row in ERRORS])
def test_an_error(typed: str, expected: str) -> None:
    person = session()
    assert person.line(typed) == expected
    assert person.line("2 3 + .") == "5 \n"  # and life goes on


def test_an_error_restores_the_stack_of_the_line() -> None:
    person = session()
    person.line("1 2 3")
    person.line("drop drop 7 8 9 a b nosuch")
    assert person.line(".s") == "1 7 8 \n"  # three cells again, as in the machine's memory
    person.line("drop drop drop nosuch")
    assert person.line(".s") == "1 7 8 \n"


def test_catch_and_throw() -> None:
    person = session()
    assert person.line(": t throw ; 5 ' t catch .s clear") == "0 5 \n"  # as deep as before; the cell itself is lost
    assert person.line(': u 1 abort" bad" ; \' u catch . ') == "-2 \n"
    assert person.line(": v nosuch ; ' v catch .").startswith("nosuch ?\n")
    assert person.line("0 throw 1 .") == "1 \n"


def test_a_definition_over_several_lines_has_its_own_prompt() -> None:
    person = session()
    assert person.type(": triple ( n -- 3n )\n") == ": triple ( n -- 3n )\n] "
    assert person.type("3 *\n") == "3 *\n] "
    assert person.type(";\n") == ";\n{0} ok "
    assert person.line("5 triple .") == "f \n"
    assert person.line("see triple") == ": triple ( n -- 3n )\n3 *\n;\n"


def test_structures_over_several_lines() -> None:
    person = session()
    assert person.type("3 0 do\n") == "3 0 do\n] "
    assert person.type("i . loop\n") == "i . loop\n0 1 2 \n{0} ok "


def test_undefined_words_while_compiling_are_told_and_fail_later() -> None:
    person = session()
    assert person.line(": t 1 . nosuch 2 . ;") == "nosuch ?\n"
    assert person.line("t") == "1 \nUndefined word encountered \n"


def test_see_words_and_forget() -> None:
    person = session()
    person.line(": one 1 ; : two one one + ; 5 value v defer d variable x")
    assert person.line("see two") == ": two one one + ;\n"
    assert person.line("see v") == "5 value v\n"
    assert person.line("see d") == "defer d\n' noop to d\n"
    assert person.line("see dup") == "code dup ( a -- a a )\n"
    assert person.line("words").startswith("x             d             v             two           one ")
    here = person.prompt.forth.space.here
    assert person.line("forget two") == ""
    assert person.line("two") == "two ?\n"
    assert person.line("one .") == "1 \n"
    assert person.prompt.forth.space.here < here


def test_redefinition_is_told_and_the_old_one_keeps_its_callers() -> None:
    person = session()
    person.line(": a 1 ; : b a ;")
    assert person.line(": a 2 ;") == "a isn't unique \n"
    assert person.line("a . b .") == "2 1 \n"
    person.line("forget a")
    assert person.line("a .") == "1 \n"


def test_memory_words_reach_the_guest() -> None:
    person = session()
    assert person.line("1122334455667788 4000 x! 4000 l@ . 4004 w@ . 4007 c@ . 4000 x?") == (
        "11223344 5566 88 1122334455667788 \n"
    )
    assert person.host.memory[:8] == bytes.fromhex("1122334455667788")
    person.line("4000 4010 8 move 4020 8 ab fill")
    assert person.host.memory[0x10:0x18] == person.host.memory[:8]
    assert person.host.memory[0x20:0x28] == b"\xab" * 8
    assert person.line("10 15 spacex@ . 1 15 spacec@ .") == "1122334455667788 22 \n"
    assert person.line("7fff c@ drop 8000 cpeek . 4000 cpeek . .") == "0 -1 11 \n"
    assert person.line("0 0 4000 l! 8000 l!") == "ERROR: Last Trap: Fast Data Access MMU Miss\n\n"


def test_dump() -> None:
    person = session()
    person.host.memory[:0x12] = b"Hello, world\n\x00\xff\x80 !"
    assert person.line("4002 d# 15 dump") == (
        "           0  1 \\/  3  4  5  6  7   8  9  a  b  c  d  e  f  01v3456789abcdef\n"
        "    4000  48 65 6c 6c 6f 2c 20 77  6f 72 6c 64 0a 00 ff 80  Hello, world....\n"
        "    4010  20 21 00 00 00 00 00 00  00 00 00 00 00 00 00 00   !..............\n"
    )
    assert person.line(f"{SPACE_BASE:x} 8 dump").endswith("fe000000  00 00 00 00 00 00 00 10" +
                                                         "  00 00 00 00 00 00 00 00  ................\n")  # fmt: skip


def test_keys() -> None:
    person = session()
    assert person.type("key .\n") == "key .\n"
    assert person.type("A") == "41 \n{0} ok "
    assert person.type("key key + .\n1") == "key key + .\n"
    assert person.type("2") == "63 \n{0} ok "
    assert person.type("begin key dup emit ascii q = until\n") == "begin key dup emit ascii q = until\n"
    assert person.type("abc") == "abc"
    assert person.type("q") == "q\n{0} ok "


def test_a_break_ends_what_never_ends() -> None:
    person = Session(FakeHost(), line_steps=1 << 40)
    person.prompt.enter()
    person.shown()
    person.prompt.feed(b": forever begin again ; forever\r")
    assert person.prompt.busy
    for _ in range(3):
        assert person.prompt.run(1000) is None
    assert person.prompt.busy
    person.shown()
    person.prompt.interrupt()
    assert person.shown() == "Interrupted\n{0} ok "
    assert not person.prompt.busy
    assert person.line("1 .") == "1 \n"


def test_a_break_ends_waiting_for_a_key() -> None:
    person = session()
    person.type("key .\n")
    person.prompt.interrupt()
    assert person.shown() == "Interrupted\n{0} ok "


def test_waiting_takes_the_machines_time() -> None:
    person = session()
    assert person.type("d# 50 ms get-msecs .d\n") == "d# 50 ms get-msecs .d\n"
    person.host.clock = 49
    assert person.type("") == ""
    person.host.clock = 50
    assert person.prompt.busy
    assert person.type("") == "50 \n{0} ok "
