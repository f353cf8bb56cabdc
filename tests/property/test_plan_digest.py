"""Same inputs, same bytes: in any folder, under any hash seed, through any number of codings."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.plan import Plan, decode, encode, from_tar, to_tar
from itmp.testing.runbooks import HEAD, compile_runbook, small_world

TEXT = (
    HEAD
    + """\
inputs: {b: {type: integer, default: 2}, a: {type: string, default: x}}
steps:
  - rolling: {hosts: web, batches: [1, 25%]}
    steps:
      - {id: drain, playbook: drain, vars: {z: 1, a: {y: 2, b: "${inputs.a}"}, t: {secret: "env:T"}}, delegates: [lb1]}
      - {id: ask, check: {http: {url: "http://${host.address}/"}}}
undo:
  - {hosts: web, tasks: [{ansible.builtin.command: "x ${inputs.b}"}]}
"""
)
_SCRIPT = """\
import sys
from itmp.plan import to_tar
from itmp.canonical import digest
from itmp.testing.runbooks import compile_runbook
plan = compile_runbook(sys.stdin.buffer.read())
print(plan.digest, digest(to_tar(plan)))
"""


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_digest_depends_on_neither_seed_nor_folder(seed: str, tmp_path: Path):
    plan = compile_runbook(TEXT.encode())
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=TEXT.encode(),
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=60,
    )
    digest, archive = done.stdout.decode().split()
    assert digest == plan.digest
    assert from_tar(to_tar(plan)).digest == digest
    assert archive.startswith("sha256:")


def test_both_seeds_write_the_same_archive(tmp_path: Path):
    found = set()
    for seed in ("7", "8"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        folder = tmp_path / seed
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            input=TEXT.encode(),
            capture_output=True,
            cwd=folder,
            env=environment,
            check=True,
            timeout=60,
        )
        found.add(done.stdout)
    assert len(found) == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
BASE = compile_runbook(TEXT.encode())


@settings(max_examples=100, deadline=None)
@given(
    inputs=st.dictionaries(st.text(st.characters(codec="ascii"), max_size=5), JSON, max_size=3),
    title=st.text(st.characters(codec="utf-8"), max_size=20),
    notes=st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=3).map(tuple),
    contents=st.dictionaries(
        st.sampled_from(["project/a", "project/b/c", "inventory/x"]), st.binary(max_size=30)
    ),
)
def test_coding_and_archiving_are_exact(
    inputs: dict[str, object], title: str, notes: tuple[str, ...], contents: dict[str, bytes]
):
    manifest = replace(BASE.manifest, inputs=inputs, title=title, notes=notes)
    artifacts = {**contents, **{path: BASE.artifact(path) for path in BASE.manifest.artifacts}}
    plan = Plan.build(manifest, artifacts)
    assert encode(decode(plan.manifest_bytes)) == plan.manifest_bytes
    again = from_tar(to_tar(plan))
    assert again.manifest == plan.manifest
    assert {path: again.artifact(path) for path in again.manifest.artifacts} == artifacts


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 60),
    st.lists(st.integers(1, 9) | st.integers(1, 100).map(lambda n: f"{n}%"), min_size=1, max_size=4),
)
def test_batches_hold_every_host_once_in_order(web: int, sizes: list[int | str]):
    text = (
        HEAD
        + f"steps: [{{rolling: {{hosts: web, batches: {sizes}}}, steps: [{{id: a, playbook: touch}}]}}]\n"
    )
    (block,) = compile_runbook(text.encode(), sources=small_world(web)).manifest.steps
    assert tuple(host for batch in block.batches for host in batch) == tuple(
        f"web{n}" for n in range(1, web + 1)
    )
    assert all(block.batches)
