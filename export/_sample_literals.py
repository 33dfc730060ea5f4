"""Text that goes into source code: nothing in it may end a literal or a comment."""

import unicodedata


def one_line(text):
    """The text without line breaks and other control characters, for a label."""
    return "".join(
        " " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter
        for letter in text
    )


def in_comment(text):
    """The same, and without what changes how the text around it is shown."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def kotlin(text):
    # A $ begins a template.
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [units[i] << 8 | units[i + 1] for i in range(0, len(units), 2)]
    return _literal(codes, '"\\$', "\\u{:04x}")


def swift(text):
    return _literal(map(ord, text), '"\\', "\\u{{{:x}}}")


def cpp(text):
    # Three octal digits end by themselves; \x would go on into what follows.
    return _literal(text.encode("utf-8", "surrogateescape"), '"\\', "\\{:03o}")


def python(text):
    return _literal(map(ord, text), '"\\', "\\U{:08x}")


def _literal(codes, special, escape):
    """A literal in double quotes, ASCII alone."""
    return f'"{"".join(_escaped(code, special, escape) for code in codes)}"'


def _escaped(code, special, escape):
    if not 32 <= code < 127:
        return escape.format(code)
    return "\\" + chr(code) if chr(code) in special else chr(code)


LITERALS = {".py": python, ".kt": kotlin, ".swift": swift, ".cc": cpp}
