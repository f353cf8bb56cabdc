"""What Ansible decrypts reaches the hosts, and no result, message or error: wherever it is decrypted."""

import base64
import json
import urllib.parse
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import Recorder, World

from itmp.adapters.ansible.runner import AnsibleError
from itmp.adapters.secrets import MASK, WITHHELD

pytestmark = pytest.mark.fleet

WHOLE, INLINE, NESTED = 'whole "quoted"/&é\\tail', "inline sesame/&1", "nested-in-a-list"
NUMBER, BLOCK = "8675309", ["first line of a block", "second line: of it"]
FROM_VARS_FILES, INCLUDED, IN_FILE = "from-vars-files", "from-include-vars", "line of a vaulted file"
UNVAULTED, HALF = "only-a-filter-knew", "written-beside-a-template"
SECRETS = [
    WHOLE, INLINE, NESTED, NUMBER, *BLOCK, FROM_VARS_FILES, INCLUDED, IN_FILE, UNVAULTED, HALF,
]  # fmt: skip

PLAY = """
- hosts: web1
  gather_facts: false
  vars_files: [secret_vars.yml]
  vars:
    all_of_it: "{{ [whole, inline, nested.list[0], number, block, vf, half] }}"
  tasks:
    - name: Include
      ansible.builtin.include_vars: more_vars.yml
    - name: Say {{ whole }} {{ inline }}
      ansible.builtin.debug: {msg: "{{ all_of_it | to_json }} {{ more }} {{ number }}"}
    - name: Encoded
      ansible.builtin.debug: {msg: "{{ inline | b64encode }} {{ ('x' ~ whole) | b64encode }} {{ whole | urlencode }} {{ whole | to_json }} {{ all_of_it | to_json | to_json }}"}
    - name: Loop
      ansible.builtin.debug: {msg: "{{ item }}"}
      loop: "{{ all_of_it }}"
      loop_control: {label: "{{ item }}"}
    - name: Write
      ansible.builtin.copy: {content: "{{ whole }}|{{ inline }}|{{ more }}|{{ vf }}", dest: "{{ host_root }}/values", mode: "0600"}
    - name: Template
      ansible.builtin.template: {src: values.j2, dest: "{{ host_root }}/templated", mode: "0600"}
      diff: true
    - name: Send
      ansible.builtin.copy: {src: vaulted.txt, dest: "{{ host_root }}/vaulted", mode: "0600"}
      diff: true
    - name: Show
      ansible.builtin.command: {argv: [cat, "{{ host_root }}/values"]}
      register: shown
      failed_when: true
      ignore_errors: true
    - name: Fail
      ansible.builtin.shell: {cmd: "cat {{ host_root }}/vaulted >&2; exit 3"}
      ignore_errors: true
    - name: Loop that fails
      ansible.builtin.command: {argv: [sh, -c, 'printf %s "$0"; exit 1', "{{ item }}"]}
      loop: "{{ all_of_it }}"
      ignore_errors: true
    - name: Unvault
      ansible.builtin.debug: {msg: "{{ ciphertext | unvault('vault-pw') }}"}
    - name: Undefined
      ansible.builtin.debug: {msg: "{{ {}[inline] }}"}
      ignore_errors: true
    - name: Assert
      ansible.builtin.assert: {that: "inline == 'x'", fail_msg: "not {{ inline }}"}
      ignore_errors: true
"""


def encrypt(text: str) -> str:
    sealed: bytes = VaultLib([("default", VaultSecret(b"vault-pw"))]).encrypt(text)
    return sealed.decode()


def inline(name: str, text: str) -> str:
    lines = "".join(f"  {line}\n" for line in encrypt(text).splitlines())
    return f"{name}: !vault |\n{lines}"


def forms(secret: str) -> list[str]:
    quoted = json.dumps(secret)[1:-1]
    return [
        secret,
        base64.b64encode(secret.encode()).decode().rstrip("=")[:-1],
        quoted,
        json.dumps(quoted)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        urllib.parse.quote(secret),
        urllib.parse.quote(secret, safe=""),
    ]


def told(recorder: Recorder) -> str:
    values = [
        (e.name, e.delegate, getattr(e, "message", ""), dict(getattr(e, "data", {})))
        for e in (*recorder.actions, *recorder.results)
    ]
    return repr(values) + "".join(f"{name} {message}" for name, _, message, _ in values)


def leaks(recorder: Recorder, secrets: list[str]) -> list[str]:
    text = told(recorder)
    return [form for secret in secrets for form in forms(secret) if form in text]


def password(tmp_path: Path) -> dict[str, dict[str, str]]:
    (tmp_path / "pw").write_text("vault-pw\n")
    return {"vault_passwords": {"default": f"file:{tmp_path / 'pw'}"}}


def plant(world: World) -> None:
    block = "\n".join(f"  {line}" for line in BLOCK)
    whole = f"whole: {json.dumps(WHOLE)}\nnested: {{list: [{NESTED}]}}\nnumber: {NUMBER}\nblock: |\n{block}\n"
    half = f'half: "{{{{ inventory_hostname }}}}:{HALF}"\n'
    world.write("inventories/group_vars/web/whole.yml", encrypt(whole + half))
    world.write("inventories/group_vars/web/inline.yml", inline("inline", INLINE))
    world.write("playbooks/secret_vars.yml", encrypt(f"vf: {FROM_VARS_FILES}\n"))
    world.write("playbooks/more_vars.yml", encrypt(f"more: {INCLUDED}\n"))
    world.write("playbooks/files/vaulted.txt", encrypt(f"a first line\n{IN_FILE}\n"))
    world.write("playbooks/templates/values.j2", "{{ all_of_it | to_json }}\n")


def test_what_is_decrypted_reaches_the_host_and_no_result(world: World, tmp_path: Path) -> None:
    plant(world)
    recorder = world.play(PLAY, vars={"ciphertext": encrypt(UNVAULTED)}, options=password(tmp_path))
    root = world.fleet.host("web1").root
    assert (root / "values").read_text() == f"{WHOLE}|{INLINE}|{INCLUDED}|{FROM_VARS_FILES}"
    assert (root / "vaulted").read_text() == f"a first line\n{IN_FILE}\n"
    assert NESTED in (root / "templated").read_text()
    assert leaks(recorder, SECRETS) == []
    assert len(recorder.results) == len(recorder.actions) == 13
    for name in ("Encoded", "Show", "Fail", "Loop that fails", "Unvault", "Assert"):
        assert MASK in recorder.of(name).message, name
    assert recorder.of("Fail").rc == 3
    assert recorder.of("Fail").data["ignored"] is True
    assert WITHHELD not in told(recorder)


def test_the_error_of_a_slice_holds_no_decrypted_value(world: World, tmp_path: Path) -> None:
    sealed = inline("sealed", INLINE).replace("\n", "\n    ")
    play = f"""
- hosts: web1
  gather_facts: false
  vars:
    {sealed}
  serial: "{{{{ sealed }}}}"
  tasks: [{{name: A, ansible.builtin.ping: }}]
"""
    recorder = Recorder()
    with pytest.raises(AnsibleError) as caught:
        world.play(play, recorder, options=password(tmp_path))
    assert MASK in str(caught.value)
    assert INLINE not in str(caught.value)
    assert recorder.results == []


def test_a_plaintext_too_large_to_look_for_withholds_what_follows(world: World, tmp_path: Path) -> None:
    world.write("playbooks/files/large.txt", encrypt("".join(f"line {n}\n" for n in range(6000))))
    play = """
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Before, ansible.builtin.debug: {msg: before}}
    - {name: Send, ansible.builtin.copy: {src: large.txt, dest: "{{ host_root }}/large", mode: "0600"}}
    - {name: Show, ansible.builtin.shell: {cmd: "tail -n1 {{ host_root }}/large; exit 1"}, ignore_errors: true}
"""
    recorder = world.play(play, options=password(tmp_path))
    assert (world.fleet.host("web1").root / "large").read_text().endswith("line 5999\n")
    assert [r.message for r in recorder.results] == ["before", "", WITHHELD]
    assert [r.outcome for r in recorder.results] == ["ok", "changed", "failed"]
    assert recorder.results[2].data == {"ignored": True}


def test_names_of_the_plans_hosts_and_our_own_words_are_no_secrets(world: World, tmp_path: Path) -> None:
    world.write(
        "inventories/group_vars/web.yml", encrypt("a: web1\nb: ignored\nc: failed\nd: present\ne: command\n")
    )
    play = """
- hosts: web2
  gather_facts: false
  tasks:
    - {name: A, ansible.builtin.command: "false", delegate_to: web1, ignore_errors: true}
"""
    recorder = world.play(play, options=password(tmp_path))
    result = recorder.of("A")
    assert (result.delegate, result.action) == ("web1", "ansible.builtin.command")
    assert result.data == {"ignored": True}


def test_a_strategy_that_a_vaulted_variable_names_is_looked_at_when_the_play_begins(
    world: World, tmp_path: Path
) -> None:
    """The plan is made without the vault's password: there the template has its default."""
    world.write("playbooks/how.yml", encrypt("how: debug\n"))
    play = """
- hosts: web1
  gather_facts: false
  vars_files: [how.yml]
  strategy: "{{ how | default('linear') }}"
  tasks: [{name: A, ansible.builtin.ping: }]
"""
    recorder = Recorder()
    with pytest.raises(AnsibleError, match=r"play\.yml:2: a vaulted variable names a strategy"):
        world.play(play, recorder, options=password(tmp_path))
    assert recorder.actions == []
