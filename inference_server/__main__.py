"""Run `python -m inference_server`. The code is plain, so that an old Python can parse it and say it is too old."""

import sys

NEEDED = (3, 11)
MISSING_EXIT_CODE = 3


def main():
    """Check the version of Python, then run the command line; return the exit code."""
    if sys.version_info < NEEDED:
        words = ["The Python at", sys.executable, "is", sys.version.split()[0] + ";"]
        words.append("the inference server needs " + ".".join(map(str, NEEDED)) + " or newer.\n")
        sys.stderr.write(" ".join(words))
        return MISSING_EXIT_CODE
    from inference_server.commands import cli

    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
