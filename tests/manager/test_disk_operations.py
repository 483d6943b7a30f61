"""vds, vdsdev, vdisk through the manager: names, backends, options, groups, guests that run."""

from __future__ import annotations

from pathlib import Path

import pytest
from manager_support import machine_of, make_manager
from services_support import done, put_guest, refused

from ldmd.manager import Manager
from ldmd.model import State


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    manager = make_manager()
    for name in ("a.img", "b.img"):
        (tmp_path / name).write_bytes(bytes(4096))
    done(manager, "add-vds", vds="primary-vds0", domain="primary")
    done(manager, "add-vdsdev", backend=str(tmp_path / "a.img"), volume="vol1@primary-vds0")
    return manager


def test_names_are_unique_on_the_server(manager: Manager) -> None:
    assert refused(manager, "add-vds", vds="primary-vds0", domain="primary") == "service.exists"
    assert refused(manager, "add-vds", vds="vds1", domain="nobody") == "domain.not-found"
    assert refused(manager, "add-vds", vds="a@b", domain="primary") == "name.syntax"
    assert refused(manager, "add-vdisk", disk="d", volume="vol1", domain="primary") == "disk.volume-syntax"
    assert refused(manager, "remove-vds", vds="vds9") == "service.not-found"


def test_the_words_that_scripts_look_for(manager: Manager, tmp_path: Path) -> None:
    put_guest(manager, "ldg1")
    done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1")
    for arguments, words in (
        ({"backend": str(tmp_path / "b.img"), "volume": "vol1@primary-vds0"}, "already exists"),
        ({"volume": "nothing@primary-vds0"}, "does not exist"),
        ({"volume": "vol1@primary-vds0"}, "is attached"),
    ):
        command = "add-vdsdev" if "backend" in arguments else "remove-vdsdev"
        error = manager.execute(command, arguments).error
        assert error is not None and words in str(error)


def test_a_backend_is_looked_at(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")

    def code(backend: str) -> str:
        return refused(manager, "add-vdsdev", backend=backend, volume="v@primary-vds0")

    assert code("relative.img") == "disk.backend-relative"
    assert code(str(tmp_path / "gone")) == code(str(tmp_path / "link")) == "disk.backend-missing"
    assert code(str(tmp_path)) == "disk.backend-kind"
    assert code("/dev/null") == "disk.backend-kind"
    assert code(str(tmp_path / "empty")) == "disk.backend-empty"
    assert code(str(tmp_path / "a\0b")) == "disk.backend-missing"
    done(manager, "add-vdsdev", backend=str(tmp_path / "gone"), volume="v@primary-vds0", quick=True)


def test_a_second_export_needs_force_and_excl_forbids_it(manager: Manager, tmp_path: Path) -> None:
    backend = str(tmp_path / "a.img")
    assert refused(manager, "add-vdsdev", backend=backend, volume="again@primary-vds0") == "disk.exported"
    done(manager, "add-vdsdev", backend=backend, volume="again@primary-vds0", force=True)
    assert refused(manager, "add-vdsdev", backend=backend, volume="x@primary-vds0", options="excl",
                   force=True) == "disk.exclusive"  # fmt: skip
    outcome = done(manager, "add-vdsdev", backend=str(tmp_path / "b.img"), volume="x@primary-vds0", options="excl,ro")
    assert list(outcome.lines) == []
    found = manager.configuration.find_vds("primary-vds0")
    assert found is not None and found[1].volume("x").options == ("ro", "excl")  # type: ignore[union-attr]
    done(manager, "set-vdsdev", volume="x@primary-vds0", options="")
    assert refused(manager, "set-vdsdev", volume="x@primary-vds0") == "property.needed"
    assert refused(manager, "set-vdsdev", volume="x@primary-vds0", options="fast") == "disk.option"


def test_an_image_of_qemu_under_another_name_is_warned_of(manager: Manager, tmp_path: Path) -> None:
    for name, warned in (("q.img", True), ("q.qcow2", False)):
        (tmp_path / name).write_bytes(b"QFI\xfb".ljust(4096, b"\0"))
        outcome = done(manager, "add-vdsdev", backend=str(tmp_path / name), volume=f"{name}@primary-vds0")
        assert any("exported as a raw disk" in line[1] for line in outcome.lines) == warned


def test_a_disk_of_a_bound_domain_gets_a_number_and_a_channel(manager: Manager, tmp_path: Path) -> None:
    done(manager, "add-vdsdev", backend=str(tmp_path / "b.img"), volume="vol2@primary-vds0")
    put_guest(manager, "ldg1")
    done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1", id="3", timeout="60")
    done(manager, "add-vdisk", disk="d1", volume="vol2@primary-vds0", domain="ldg1")
    disks = machine_of(manager).guests[1].spec["disks"]
    assert [(disk["name"], disk["number"], disk["channels"], disk["timeout"]) for disk in disks] == [
        ("d0", 3, [1], 60), ("d1", 0, [2], 0)]  # fmt: skip
    assert disks[0]["backend"].endswith("a.img") and disks[0]["online"]
    done(manager, "remove-vdisk", disk="d0", domain="ldg1")
    assert [disk["name"] for disk in machine_of(manager).guests[1].spec["disks"]] == ["d1"]


def test_wrong_disks(manager: Manager, tmp_path: Path) -> None:
    done(manager, "add-vdsdev", backend=str(tmp_path / "b.img"), volume="vol2@primary-vds0")
    put_guest(manager, "ldg1")
    done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1", id="0")

    def code(**more: str) -> str:
        return refused(manager, "add-vdisk", **({"disk": "d1", "volume": "vol2@primary-vds0", "domain": "ldg1"} | more))

    assert code(disk="d0") == "device.exists"
    assert code(volume="vol9@primary-vds0") == "disk.volume-not-found"
    assert code(volume="vol1@primary-vds0") == "disk.volume-used"
    assert code(id="0") == "device.id-in-use"
    assert code(id="x") == "usage.number"
    assert code(timeout="-1") == "usage.range"
    assert code(domain="ldg9") == "domain.not-found"
    assert refused(manager, "remove-vdisk", disk="d9", domain="ldg1") == "device.not-found"


def test_services_in_use_go_only_by_force(manager: Manager) -> None:
    put_guest(manager, "ldg1")
    done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1")
    assert refused(manager, "remove-vds", vds="primary-vds0") == "disk.server-attached"
    assert refused(manager, "set-vdsdev", volume="vol1@primary-vds0", options="ro") == "disk.volume-attached"
    done(manager, "set-vdsdev", volume="vol1@primary-vds0", options="ro", force=True)
    done(manager, "remove-vdsdev", volume="vol1@primary-vds0", force=True)
    disk = machine_of(manager).guests[1].spec["disks"][0]
    assert (disk["backend"], disk["online"]) == ("", False)
    done(manager, "remove-vds", vds="primary-vds0", force=True)
    assert manager.configuration.find_vds("primary-vds0") is None


def test_the_selected_path_of_a_group_keeps_the_channels_of_all(manager: Manager, tmp_path: Path) -> None:
    put_guest(manager, "svc", state=State.ACTIVE)
    done(manager, "add-vds", vds="svc-vds0", domain="svc")
    backend = str(tmp_path / "b.img")
    done(manager, "add-vdsdev", backend=backend, volume="left@primary-vds0", mpgroup="mp1")
    done(manager, "add-vdsdev", backend=backend, volume="right@svc-vds0", mpgroup="mp1")
    third = {"backend": backend, "volume": "third@svc-vds0", "mpgroup": "mp1"}
    assert refused(manager, "add-vdsdev", **third) == "disk.mpgroup-twice"
    put_guest(manager, "ldg1", state=State.ACTIVE)
    done(manager, "add-vdisk", disk="d0", volume="left@primary-vds0", domain="ldg1")
    assert refused(manager, "add-vdisk", disk="d1", volume="right@svc-vds0", domain="ldg1") == "disk.volume-used"
    assert machine_of(manager).guests[2].spec["disks"][0]["channels"] == [1, 2]
    assert refused(manager, "set-vdisk", disk="d0", domain="ldg1", volume="vol1@primary-vds0") == "disk.not-a-path"
    assert refused(manager, "set-vdisk", disk="d0", domain="ldg1", timeout="5") == "device.active"
    assert refused(manager, "set-vdsdev", volume="left@primary-vds0", mpgroup="") == "disk.mpgroup-bound"
    done(manager, "set-vdisk", disk="d0", domain="ldg1", volume="right@svc-vds0")
    assert machine_of(manager).guests[2].spec["disks"][0]["channels"] == [2, 1]


# -- guests that run


def test_without_dr_a_running_guest_loses_a_disk_only_by_force(manager: Manager) -> None:
    put_guest(manager, "ldg1", state=State.ACTIVE)
    machine = machine_of(manager)
    machine.boot_os(1, "md-update", "domain-shutdown")
    done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1")
    assert machine.ops("guest.md_update") == ["guest.md_update"]
    assert refused(manager, "remove-vdisk", disk="d0", domain="ldg1") == "device.no-support"
    done(manager, "remove-vdisk", disk="d0", domain="ldg1", force=True)
    assert machine.ops("guest.md_update") == ["guest.md_update"] * 2
    assert machine.guests[1].spec["disks"] == []


def test_a_guest_with_dr_is_asked_first(manager: Manager) -> None:
    put_guest(manager, "ldg1", state=State.ACTIVE)
    machine = machine_of(manager)
    machine.boot_os(1, "dr-vio", "md-update")
    done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1", id="2")
    machine.answers["guest.dr_vio"] = {"result": "refused", "reason": "the disk is mounted"}
    assert refused(manager, "remove-vdisk", disk="d0", domain="ldg1") == "device.refused"
    machine.answers["guest.dr_vio"] = None
    assert refused(manager, "remove-vdisk", disk="d0", domain="ldg1") == "device.refused"
    machine.answers["guest.dr_vio"] = {"result": 0, "reason": ""}  # as the real machine says it
    done(manager, "remove-vdisk", disk="d0", domain="ldg1")
    asked = [arguments for op, arguments in machine.calls if op == "guest.dr_vio"]
    assert asked == [{"guest": 1, "action": action, "kind": "disk", "number": 2}
                     for action in ("configure", "unconfigure", "unconfigure", "unconfigure")]  # fmt: skip


def test_a_guest_that_does_not_take_up_a_disk_is_warned_of(manager: Manager) -> None:
    put_guest(manager, "ldg1", state=State.ACTIVE)
    machine_of(manager).boot_os(1, "dr-vio", "md-update")
    machine_of(manager).answers["guest.dr_vio"] = {"result": 1, "reason": "no driver"}
    outcome = done(manager, "add-vdisk", disk="d0", volume="vol1@primary-vds0", domain="ldg1")
    assert outcome.lines == (("warn", "Warning: LDom ldg1 did not take up disk d0: no driver"),)


def test_in_a_delayed_reconfiguration_only_that_domain_changes(manager: Manager) -> None:
    put_guest(manager, "ldg1")
    done(manager, "add-vsw", vswitch="vsw0", domain="primary")
    outcome = done(manager, "set-vsw", vswitch="vsw0", mtu="9000")
    assert outcome.out.startswith("Initiating a delayed reconfiguration operation on the primary domain.\n")
    assert refused(manager, "add-vdisk", disk="d", volume="vol1@primary-vds0", domain="ldg1") == "reconf.frozen"
    outcome = done(manager, "add-vds", vds="later", domain="primary")
    assert outcome.out.splitlines()[1] == "Notice: LDom primary is in the process of a delayed reconfiguration."
    assert manager.configuration.find_vds("later") is None
    pending = manager.configuration.pending_for("primary")
    assert pending is not None and not pending.removed_io_services
    assert [each.name for each in pending.domain.disk_servers] == ["primary-vds0", "later"]
    assert refused(manager, "add-vds", vds="later", domain="primary") == "service.exists"
    done(manager, "remove-vds", vds="later")
    pending = manager.configuration.pending_for("primary")
    assert pending is not None and pending.removed_io_services
