"""`pulumi-resource-itmp`: the Pulumi engine starts it and talks gRPC to it over loopback.

Rules kept here: it prints its port and nothing else on stdout, listens on 127.0.0.1 only, and ends with its
engine. Heavy imports happen here and not at import of the package.
"""

import os
import signal
import sys
import threading

from itmp.errors import Error, ToolMissingError
from itmp.provider import engine_watch


def main() -> None:
    """Serve until the engine cancels, ends us or ends."""
    engine_watch.die_with(os.getppid())
    try:
        serve()
    except Error as error:
        sys.stderr.write(f"pulumi-resource-itmp: {error}\n")
        sys.exit(error.exit_code)


def serve() -> None:
    """Start the server, print its port and wait for the end."""
    try:
        from itmp.provider.server import start  # noqa: PLC0415 -- grpc and protobuf are an extra
    except ImportError as error:
        do = "Run `pip install 'itmp[pulumi,aws]'`."
        raise ToolMissingError("the Pulumi SDK is not installed", do=do) from error
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, port = start(os.environ)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    stop.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
