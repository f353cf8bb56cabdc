"""Our stack update over the same calls by hand: `python benchmarks/pulumi_loop.py [ROUNDS]`.

Both turn the same knob of the same cloud double back and forth, with the same engine and provider. By hand:
a process that selects the stack and calls preview and up through Pulumi's automation API. Ours does that
too, and reads the present values, compares operations, writes intents and results, answers the provider and
reads back. Limit: 1.15 x by hand + 1 s.
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from itmp import capacity, documents
from itmp.adapters.actions import ActionServer
from itmp.adapters.pulumi import engine
from itmp.adapters.pulumi.place import CloudPlace, Place, StackName
from itmp.adapters.pulumi.runner import PulumiRunner
from itmp.adapters.pulumi.sources import PulumiSources
from itmp.canonical import digest
from itmp.execution.doors import Room, Slice
from itmp.plan import Plan, PulumiStep, Source
from itmp.testing.cloud import REGION, Cloud
from itmp.testing.rig import Rig
from itmp.testing.runners import ScriptedObserver

ROOT = Path(__file__).parents[1]
FACTOR, FIXED = 1.15, 1.0
TEXT = """itmp: capacity-adjustment/v1
name: bench
title: Bench
owner: bench
environment: lab
risk: low
inputs: {size: {type: integer}}
adjust:
  - {id: web, knob: autoscaling-group, name: web-asg, to: "${inputs.size}"}
"""
BY_HAND = """
import runpy, sys
from pulumi.automation import LocalWorkspace, Stack
work, program, name = sys.argv[1:]
sys.path.insert(0, program + "/..")
run = lambda: runpy.run_path(program + "/__main__.py", run_name="__main__")
stack = Stack.create_or_select(name, LocalWorkspace(work_dir=work, program=run))
stack.preview(refresh=True, plan=work + "/plan.json")
stack.up(refresh=True, plan=work + "/plan.json")
"""


class Bench:
    """One folder, one cloud double, two stacks: ours and the one by hand."""

    def __init__(self, folder: Path, cloud: Cloud) -> None:
        self.folder, self.cloud = folder, cloud
        self.place_of_cloud = CloudPlace(region=REGION, endpoint=cloud.endpoint)
        self.engine = engine.find()
        self.state = folder / "pulumi"

    def plan(self, size: int) -> Plan:
        sources = PulumiSources(ROOT, state=self.state, engine=self.engine, cloud=self.place_of_cloud)
        document = documents.parse("d.yml", TEXT.encode(), capacity.KINDS)
        assert isinstance(document, capacity.CapacityAdjustment)
        inputs = documents.resolve_inputs(document.inputs, {"size": str(size)})
        facts = sources.gather(capacity.needs(document, inputs))
        return capacity.freeze(
            document, inputs, facts, source=Source(path="d.yml", digest=digest(TEXT.encode()))
        )

    def ours(self, plan: Plan) -> float:
        (step,) = plan.manifest.steps
        assert isinstance(step, PulumiStep)
        runner = PulumiRunner(self.state, engine=self.engine, cloud=self.place_of_cloud)
        room = Room(folder=self.folder / secrets.token_hex(4), token=secrets.token_hex(8), run="RUN-1")
        permit, part, observer = (
            Rig(plan).permit(),
            Slice(key=step.id, step=step, hosts=()),
            ScriptedObserver(),
        )
        begin = time.perf_counter()
        runner.run(permit, plan, part, room=room, observer=observer)
        taken = time.perf_counter() - begin
        assert [result.outcome for result in observer.after_] == ["changed"]
        return taken

    def by_hand(self, plan: Plan) -> float:
        (step,) = plan.manifest.steps
        assert isinstance(step, PulumiStep)
        name, place = StackName(program="aws-capacity", stack="by-hand"), Place(self.state)
        place.prepare()
        work = place.configure(name, step.config)
        scratch, stop = Path(tempfile.mkdtemp(prefix="itmp-")), threading.Event()
        with ActionServer(scratch, token=secrets.token_hex(8), observer=ScriptedObserver()) as actions:
            thread = threading.Thread(target=lambda: [actions.pump(0.05) for _ in iter(stop.is_set, True)])
            thread.start()
            environment = place.environment(self.engine, self.place_of_cloud) | actions.environment
            command = [
                sys.executable,
                "-c",
                BY_HAND,
                str(work),
                str(ROOT / "stacks" / "aws-capacity"),
                name.stack,
            ]
            begin = time.perf_counter()
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
            taken = time.perf_counter() - begin
            stop.set()
            thread.join()
        scratch.rmdir()
        assert done.returncode == 0, done.stderr.decode()
        return taken


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="itmp-bench-") as folder, Cloud() as cloud:
        os.environ.update(cloud.environ)
        cloud.group("web-asg", desired=4, floor=1, ceiling=10)
        bench = Bench(Path(folder), cloud)
        for number in range(rounds + 1):
            for measure, taken in ((bench.by_hand, bare), (bench.ours, ours)):
                plan = bench.plan(8)
                seconds = measure(plan)
                if number:  # the first round creates the stacks
                    taken.append(seconds)
                assert cloud.desired("web-asg") == 8
                cloud.set_desired("web-asg", 4)
    limit = FACTOR * statistics.median(bare) + FIXED
    result = {
        "by_hand_s": round(statistics.median(bare), 2),
        "ours_s": round(statistics.median(ours), 2),
        "ratio": round(statistics.median(ours) / statistics.median(bare), 3),
        "limit_s": round(limit, 2),
        "within": statistics.median(ours) <= limit,
    }
    print(json.dumps(result))
    return 0 if result["within"] else 1


if __name__ == "__main__":
    sys.exit(main())
