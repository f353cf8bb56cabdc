"""How long the verbs take that speak to a run with many results: `stop`, `answer`, `reconcile`, `wait`.

`python benchmarks/words_view.py [RESULTS]` (default 20,000) writes a log of one change whose run asks and has an open
slice with that many results, below a folder of its own that it removes, and prints one JSON object: processor seconds
above a bare start of the interpreter, medians of `ROUNDS` commands, each of which really signs and records.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from logs_view import HOSTS, begin, spent

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock, new_id
from itmp.change import team_policy
from itmp.lab.fleet import make_key
from itmp.plan import AskStep, Plan
from itmp.testing.people import Person
from itmp.testing.signed_log import ROLES
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace import Workspace

RESULTS: Final = 20_000
ROUNDS: Final = 5
ERIN: Final = "erin@example.com"
"""The one whose key is a file, as the command line wants it."""


def asking_plan() -> Plan:
    """A plan with a question for each round."""
    small = small_plan(hosts=[f"web{n}" for n in range(HOSTS)])
    asks = tuple(AskStep(id=f"q{n}", title="Q", question="On?", answer="boolean") for n in range(ROUNDS))
    files = {path: small.artifacts[name] for path, name in small.manifest.artifacts.items()}
    return Plan.build(replace(small.manifest, steps=(*small.manifest.steps, *asks), artifacts={}), files)


def write(root: Path, count: int) -> str:
    """Write the workspace; return the change's id."""
    state = root / ".itmp"
    state.mkdir(mode=0o700)
    (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    make_key(root / "erin", "erin")
    known = {person.name: (person.public.line, ROLES[name]) for name, person in people()}
    policy = team_policy({**known, ERIN: ((root / "erin.pub").read_text(), ("sre",))})
    seed = Story(plan=asking_plan(), policy=policy, start=SystemClock().now())
    genesis = seed.log.leaf(0).event
    log = posix_log.create(state, origin=ORIGIN, genesis=genesis, key=seed.key, clock=seed.clock)
    log.checkpoint()
    seed.log, seed.id = log, new_id
    return tell(seed, state, count)


def people() -> Iterator[tuple[str, Person]]:
    """The people of a story, whose keys follow from their names."""
    return ((name, Person(f"{name}@example.com", "story")) for name in ROLES)


def tell(story: Story, state: Path, count: int) -> str:
    """Tell a run that asks, and that has so many results in a slice that never ended."""
    permit, _ = begin(story, state, count)
    for n in range(ROUNDS):
        data = {"slice": f"q{n}", "hosts": [], "work": "", "permit": permit.leaf}
        story.say(permit, "slice.intended", step=f"q{n}", phase="do", data=data)
    story.log.checkpoint()
    return story.change


def took(argv: list[str], cwd: Path, code: int = 0) -> float:
    """Processor seconds of one command that ends with `code`."""
    begin = spent()
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == code, (argv, done.stderr)
    return spent() - begin


def main(count: int) -> int:
    root = Path(tempfile.mkdtemp(prefix="itmp-words-"))
    try:
        change = write(root, count)
        Workspace.here(root).reading().close()
        itmp, why = str(Path(sys.executable).parent / "itmp"), ("--reason", "look", "--key", "erin")
        bare = statistics.median(took([sys.executable, "-c", "pass"], root) for _ in range(ROUNDS))
        commands = {
            "status": (["status", change], 0),
            "wait --for runnable": (["wait", change, "--for", "runnable", "--timeout", "0s"], 0),
            "wait --for asked": (["wait", change, "--for", "asked", "--timeout", "0s"], 0),
            "wait --for finished": (["wait", change, "--for", "finished", "--timeout", "0s"], 14),
            "answer": (["answer", change, "q{n}", "true", "--key", "erin"], 0),
            "reconcile": (["reconcile", change, "web{n}", "ok", *why], 0),
            "stop": (["stop", change, *why], 0),
        }
        above = {
            name: round(
                statistics.median(
                    took([itmp, *(word.replace("{n}", str(n)) for word in words)], root, code)
                    for n in range(ROUNDS)
                )
                - bare,
                2,
            )
            for name, (words, code) in commands.items()
        }
        print(json.dumps({"results": count, "bare_start": round(bare, 3), "above_bare": above}, indent=1))
        return 0
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))
