"""Who was left when a playbook broke off, read from stand-ins of Ansible's objects."""

from dataclasses import dataclass, field, replace

from itmp.adapters.ansible import _broken_off


@dataclass
class Host:
    name: str


@dataclass
class Play:
    """A play; its copies for each batch have its id, and a file that is imported twice gives two."""

    hosts: object
    _uuid: str

    def get_path(self) -> str:
        return "play.yml:1"


@dataclass
class Inventory:
    batch: tuple[str, ...] = ()

    def get_hosts(self, pattern: object, *, ignore_restrictions: bool = False) -> list[Host]:
        names = {"web": ("web1", "web2"), "lb": ("lb1",)}[str(pattern)]
        return [Host(name) for name in names if ignore_restrictions or not self.batch or name in self.batch]


@dataclass
class Manager:
    _inventory: Inventory = field(default_factory=Inventory)
    _failed_hosts: dict[str, bool] = field(default_factory=dict)
    _unreachable_hosts: dict[str, bool] = field(default_factory=dict)


@dataclass
class Playbook:
    plays: list[Play]

    def get_plays(self) -> list[Play]:
        return self.plays


@dataclass
class Iterator:
    names: tuple[str, ...] = ()
    _play: Play | None = None
    end_play: bool = False

    def get_failed_hosts(self) -> dict[str, bool]:
        return dict.fromkeys(self.names, True)


FIRST, SECOND, OPEN = Play("web", "1"), Play("web", "2"), Play("{{ some }}", "3")


def plays(*batches: tuple[Play, tuple[str, ...]]) -> _broken_off.Plays:
    made = _broken_off.Plays()
    made.read(Playbook([FIRST, SECOND, OPEN]))
    for play, batch in batches:
        made.begin(play, Manager(Inventory(batch)))
    return made


def test_a_host_is_left_whose_batch_or_play_never_began() -> None:
    broken = Manager(_failed_hosts={"web1": True})
    assert set(plays((FIRST, ())).left(broken)) == {"web1", "web2"}
    assert set(plays((FIRST, ()), (SECOND, ("web1",))).left(broken)) == {"web2"}
    assert not set(plays((FIRST, ()), (SECOND, ("web1",)), (SECOND, ("web2",))).left(broken))


def test_what_ended_without_a_failure_was_meant_to() -> None:
    assert not set(plays((FIRST, ("web1",))).left(Manager()))
    assert set(plays((FIRST, ("web1",))).left(Manager(_unreachable_hosts={"web1": True}))) == {"web2"}


def test_what_end_play_ended_was_meant_to_whoever_else_has_failed() -> None:
    broken = Manager(_failed_hosts={"web1": True})
    made = plays((FIRST, ()), (SECOND, ("web1",)))
    made.watch(Iterator(_play=SECOND))
    assert set(made.left(broken)) == {"web2"}
    last = Iterator(_play=replace(SECOND))
    made.watch(last)
    last.end_play = True  # the task that says so runs after it has been announced
    assert not set(made.left(broken))
    made.watch(Iterator(_play=OPEN))
    assert not set(made.left(broken)), "another play makes no difference"


def test_ansible_knows_for_whom_a_play_is_over() -> None:
    manager = Manager(_unreachable_hosts={"web3": True})
    assert _broken_off.failed(Iterator(("web1", "web3")), manager) == ["web1"]
    assert _broken_off.failed(None, manager) == []  # nothing was begun


def test_ansibles_objects_are_told_from_others() -> None:
    assert _broken_off.is_manager(Manager())
    assert not _broken_off.is_manager(Inventory())
    assert _broken_off.is_iterator(Iterator(()))
    assert not _broken_off.is_iterator(Manager())
