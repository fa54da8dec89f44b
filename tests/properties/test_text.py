"""The formats themselves: properties files, and JAAS in one of their values."""

import pytest

from kafka.properties.text import login_module, properties


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=1\nb:2\nc 3\nd", [("a", "1", 1), ("b", "2", 2), ("c", "3", 3), ("d", "", 4)]),
        (" \t a \f= 1 2 \r\n\r\n#no\n  !no\\\nb==3", [("a", "1 2 ", 1), ("b", "=3", 5)]),
        ("a=1,\\\n   2,\\\r\n\t3\nb=x", [("a", "1,2,3", 1), ("b", "x", 4)]),
        ("a=one\\\\\nb=two", [("a", "one\\", 1), ("b", "two", 2)]),
        ("a=x\\", [("a", "x", 1)]),
        ("a=x\\\n#y", [("a", "x#y", 1)]),  # no comment: the line goes on
        (r"a\=b\:c\ d=\t\n\r\f\q\u00e9\"", [("a=b:c d", '\t\n\r\fqé"', 1)]),
        (r"a=\ud83d\ude00", [("a", "\U0001f600", 1)]),
        (r"a=\\u00e9 C:\\x", [("a", "\\u00e9 C:\\x", 1)]),
        ("a=1\na=2", [("a", "1", 1), ("a", "2", 2)]),
        ("a = 1\rb = 2", [("a", "1", 1), ("b", "2", 2)]),
        ("", []),
        (" \\\n \\\n", []),
    ],
)
def test_lines(text, found):
    assert list(properties(text)) == found


@pytest.mark.parametrize("value", [r"\u", r"\u12", r"\u12xy", r"C:\users"])
def test_an_escape_that_is_none_names_the_line_and_not_the_value(value):
    with pytest.raises(ValueError) as caught:
        list(properties(f"a=1\nb={value}secret"))
    line, what = caught.value.args
    assert line == 2 and "four hexadecimal digits" in what and "secret" not in what


@pytest.mark.parametrize(
    ("text", "module", "options"),
    [
        ('a.b.M required x="1" y="2";', "a.b.M", {"x": "1", "y": "2"}),
        ("M Required\n x='1'\n y=\"\"\n;", "M", {"x": "1", "y": ""}),
        (r'M required p="a\"b\\c\n\101;=//" ;', "M", {"p": 'a"b\\c\nA;=//'}),
        ("M optional p=word-1_$x.y;", "M", {"p": "word-1_$x.y"}),
        ("M /* a */ required // b\n p='1';", "M", {"p": "1"}),
        ("M sufficient;", "M", {}),
    ],
)
def test_login_modules(text, module, options):
    assert login_module(text) == (module, options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be"),
        ("M", "must be"),
        ("M requires x='secret';", "must be"),
        ("M required x='secret'", "semicolon"),
        ("M required x 'secret';", "must be"),
        ("M required x=='secret';", "must be"),
        ("M required x=;", "must be"),
        ('M required x="secret;', "a quote that does not end"),
        ("M required x=a/secret;", "a / outside of quotes"),
        ("M required; N required;", "one login module"),
    ],
)
def test_what_is_no_login_module(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        login_module(text)
    assert "secret" not in str(caught.value)
