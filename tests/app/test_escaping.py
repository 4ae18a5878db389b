"""Literals: what they are spelt with does not matter. Each language's own compiler reads them in its test."""

from __future__ import annotations

import ast
import json
from xml.etree import ElementTree

import pytest
import tomllib
from hypothesis import example, given
from hypothesis import strategies as st

from edgepack.app import escaping

TEXTS = st.text(st.characters(codec="utf-8"))


@given(TEXTS)
@example("a\\b\"c'd$e{f}\n\r\t\u2028\u202e\x00☃🦙??/")
def test_a_c_string_reads_back_by_the_rules_that_python_shares(text: str) -> None:
    shown = escaping.cpp(text).replace("\\?", "?")
    assert shown.isascii()
    assert ast.literal_eval("b" + shown).decode() == text
    assert "??" not in escaping.cpp(text)


@given(TEXTS)
@example("$a ${b}\n\u202e\u2066 '\" \\")
def test_a_kotlin_string_reads_back_by_the_rules_that_json_shares(text: str) -> None:
    shown = escaping.kotlin(text)
    assert "$" not in shown.replace("\\$", "")
    assert json.loads(shown.replace("\\$", "$"), strict=True) == text


@given(TEXTS)
@example('\\(name) " \n \u2028 \u202e 🦙')
def test_a_swift_string_reads_back(text: str) -> None:
    shown = escaping.swift(text)
    assert shown[0] == shown[-1] == '"'
    found, rest = "", shown[1:-1]
    while rest:
        if rest.startswith("\\u{"):
            digits, rest = rest[3:].split("}", 1)
            found += chr(int(digits, 16))
        elif rest[0] == "\\":
            assert rest[1] in '"\\'
            found, rest = found + rest[1], rest[2:]
        else:
            assert rest[0] not in '"\n\r'
            found, rest = found + rest[0], rest[1:]
    assert found == text


@given(TEXTS)
@example("\\ \" '\x00\x7f\r\n\u2028\u202e🦙")
def test_a_toml_string_reads_back(text: str) -> None:
    assert tomllib.loads(f"a = {escaping.toml(text)}\n")["a"] == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cn"))))
@example("<a href=\"b\" c='d'>&amp;]]>\n\t")
def test_xml_reads_back_as_text_and_as_an_attribute(text: str) -> None:
    shown = escaping.xml(text)
    assert ElementTree.fromstring(f"<a>{shown}</a>").text in (text, text or None)
    assert ElementTree.fromstring(f'<a b="{shown}"/>').get("b") == text


@pytest.mark.parametrize(
    "write", [escaping.kotlin, escaping.swift, escaping.cpp, escaping.toml, escaping.xml]
)
def test_half_a_surrogate_pair_becomes_the_replacement_character(write: object) -> None:
    assert callable(write)
    assert write("a\ud83db") == write("a\ufffdb")
    write("a\ud83db").encode()


def test_xml_has_no_place_for_controls() -> None:
    assert escaping.xml("a\x00\x0b\ufffe") == "a\ufffd\ufffd\ufffd"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(value: float) -> None:
    shown = escaping.number(value)
    assert float(shown) == value
    assert set(shown) & set(".e")


def test_numbers_without_a_literal_are_refused() -> None:
    with pytest.raises(ValueError, match="no literal"):
        escaping.number(float("nan"))


def test_a_line_is_one_line() -> None:
    assert escaping.line(" a\n#b\r\u2028 c\u202e\x1b[0m ") == "a #b c [0m"
