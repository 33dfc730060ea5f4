"""draw benchmark results as one HTML page and a table

  keras-effnet report latency.json
  keras-effnet report results/ --accuracy lite0_int8.json --output report.html
  keras-effnet report new.json --against old.json

RESULTS are files that `keras-effnet benchmark --output` wrote, and folders of them.
The page needs no server and holds its own pictures; a CSV file goes beside it.
docs/benchmark_report.md explains what stands on it.
"""


def add_arguments(parser):
    parser.add_argument("results", nargs="+", metavar="RESULTS")
    parser.add_argument(
        "--accuracy",
        nargs="+",
        default=(),
        metavar="FILE.json",
        help="accuracies: the .json files that export --evaluate writes beside its "
        "files, or a list of objects with name or sha256, top1 or agreement, images",
    )
    parser.add_argument(
        "--against",
        metavar="RESULTS",
        help="an earlier result file, or a folder of them, to compare with",
    )
    parser.add_argument(
        "--output",
        default="report.html",
        metavar="FILE.html",
        help="the page (default: report.html)",
    )


def run(args):
    from keras_effnet.benchmarks import report

    for path in report.write(
        args.results, args.output, accuracy=args.accuracy, against=args.against
    ):
        print(f"written: {path}")
