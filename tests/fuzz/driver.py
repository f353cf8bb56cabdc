"""Hand one family of parsers to atheris: `python tests/fuzz/fuzz_logs.py -max_total_time=60`."""

import sys
import tempfile
from hashlib import sha256
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["itmp"]):
    from parsers import of_family


def main(family: str) -> None:
    """Fuzz until the time is up or the oracle is broken; the first byte of an input chooses the parser."""
    chosen = of_family(family)

    def one(data: bytes) -> None:
        if data:
            chosen[data[0] % len(chosen)].judge(data[1:])

    with tempfile.TemporaryDirectory() as corpus:
        for number, parser in enumerate(chosen):
            for seed in (*parser.seeds, *parser.odd):
                data = bytes([number]) + seed
                (Path(corpus) / sha256(data).hexdigest()).write_bytes(data)
        # What breaks the oracle is written below .hypothesis/, which is ignored, and named on the terminal.
        kept = Path(".hypothesis") / "atheris"
        kept.mkdir(parents=True, exist_ok=True)
        options = ["-max_len=80000", "-timeout=30", f"-artifact_prefix={kept}/{family}-"]
        atheris.Setup([sys.argv[0], corpus, *options, *sys.argv[1:]], one)
        atheris.Fuzz()
