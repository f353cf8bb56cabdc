import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.plan.rendering import render, render_play

TEXT = st.text(max_size=20) | st.sampled_from(
    [
        "yes",
        "0644",
        "~",
        "",
        "22:00",
        "{{ x }}",
        "a: b",
        "- x",
        "#",
        "\u0085\u2028\x7f",
        "😀",
        "'\"\\",
        " x ",
        "a\nb\n",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=3) | st.dictionaries(TEXT, VALUES, min_size=1, max_size=3))
def test_any_yaml_reader_gets_the_same_value(value: object):
    assert yaml.load(render(value), yaml.CSafeLoader) == value  # it is the safe loader, the C one


def test_a_task_begins_on_its_own_line():
    play = render_play(
        "p", "web", [{"name": "a", "ansible.builtin.command": {"argv": ["true"]}}, {"debug": {}}]
    )
    assert play.decode() == (
        '---\n- name: "p"\n  hosts: "web"\n  gather_facts: false\n  tasks:\n'
        '    - name: "a"\n      ansible.builtin.command:\n        argv:\n          - "true"\n    - debug: {}\n'
    )
