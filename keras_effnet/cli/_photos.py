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


def add_all_images(parser):
    """Adds the argument by which a model is judged by what it learned from."""
    parser.add_argument(
        "--all-images",
        action="store_true",
        help="judge by photographs that the model learned from, too, which says little "
        "of others (default: by those that were held out)",
    )
