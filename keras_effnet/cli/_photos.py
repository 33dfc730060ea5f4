"""What the commands that take photographs have in common."""


def add_on_broken(parser):
    """Adds the argument that says what becomes of photographs that can't be read."""
    parser.add_argument(
        "--on-broken",
        default="skip",
        metavar="skip|fail",
        help="images that can't be decoded are left out and named, or end it before "
        "the work begins (default: skip)",
    )
