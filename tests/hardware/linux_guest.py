"""A Linux of its own for a test that needs a kernel's USB: QEMU with Debian's kernel, which sees this machine's files
read-only, one folder for results as /run/out, and its loopback as 10.0.2.2."""

import fcntl
import lzma
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from hardware.firmware_build import REPOSITORY

CACHE = REPOSITORY / "build" / "guest"
MODULES = ("virtio_pci", "virtio_net", "9pnet_virtio", "9p", "vhci_hcd", "cdc_acm", "snd_usb_audio")
CPU = "max,avx=off,avx2=off,fma=off,f16c=off"
"""QEMU 7.2 gets AVX wrong: NumPy's results differ."""
XZ = b"\xfd7zXZ\0"
INIT = """#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
ifconfig lo 127.0.0.1 up; ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; route add default gw 10.0.2.2
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose host /host
mount -t tmpfs run /host/run; mkdir -p /host/run/tmp /host/run/out
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 out /host/run/out
for folder in dev proc sys; do mount --bind /$folder /host/$folder; done
export TMPDIR=/run/tmp HOME=/run/tmp PYTHONDONTWRITEBYTECODE=1
chroot /host /bin/sh -c "$(cat /command)"
echo guest-exit-$?
poweroff -f
"""


def need_guest(*tools: str) -> None:
    """Skip the test where no guest can run, or one of `tools` is missing, and say why."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest's kernel is for x86-64")
    for tool in ("qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb", *tools):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing")


def kernel() -> None:
    """Put Debian's kernel and its modules that are needed into the cache, once; skip the test where that cannot be."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with CACHE.with_suffix(".lock").open("w") as lock:  # of test processes side by side one fetches it
        fcntl.flock(lock, fcntl.LOCK_EX)
        _fetch_kernel()


def _fetch_kernel() -> None:
    complete = CACHE / "complete"
    if complete.is_file() and complete.read_text() == " ".join(MODULES):
        return
    shutil.rmtree(CACHE, ignore_errors=True)
    CACHE.mkdir()
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False)
    name = re.search(r"Depends: (linux-image-\S+)", depends.stdout)
    if not name:
        pytest.skip("apt knows no linux-image-amd64")
    fetched = subprocess.run(["apt-get", "download", name[1]], cwd=CACHE, capture_output=True, text=True, check=False)
    if fetched.returncode != 0:
        pytest.skip(f"{name[1]} cannot be fetched: {fetched.stderr.strip().splitlines()[-1:]}")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        package = next(CACHE.glob("linux-image-*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        package.unlink()
        (CACHE / "vmlinux").write_bytes(_elf(next(Path(folder, "boot").glob("vmlinuz-*")).read_bytes()))
        _keep_modules(Path(folder, "lib", "modules"))
    complete.write_text(" ".join(MODULES))


def _keep_modules(source: Path) -> None:
    """Copy `MODULES` and what they need to the cache, and their order; what has no file is built into the kernel."""
    files = {file.name.split(".")[0].replace("-", "_"): file for file in source.rglob("*.ko*")}
    order: list[str] = []
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen or name not in files:
            return
        seen.add(name)
        content = files[name].read_bytes()
        if files[name].suffix == ".xz":
            content = lzma.decompress(content)
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for need in (needs[1].decode() if needs else "").split(","):
            add(need.replace("-", "_"))
        order.append(name)
        (CACHE / name).write_bytes(content)

    for name in MODULES:
        add(name)
    (CACHE / "order").write_text("\n".join(order))


def _elf(compressed: bytes) -> bytes:
    """The kernel in a bzImage, unpacked: QEMU starts it so without the seconds that it takes to unpack itself."""
    start = compressed.find(XZ)
    while start > 0:
        try:
            image = lzma.LZMADecompressor().decompress(compressed[start:])
        except lzma.LZMAError:
            image = b""
        if image[:4] == b"\x7fELF":
            return image
        start = compressed.find(XZ, start + 1)
    return compressed


def run_in_guest(command: str, folder: Path, timeout_s: float, *options: str) -> str:
    """Run a shell command in the guest as root and return what it printed; `folder` is for the guest's first files and
    for its results; `options` are more of QEMU's.

    Fails the test when the guest does not come to its end in time.
    """
    kernel()
    archive = folder / "initramfs.cpio"
    archive.write_bytes(_initramfs(command))
    qemu = [
        "qemu-system-x86_64", "-M", "q35", "-cpu", CPU, "-accel", "tcg", "-m", "1024", "-nodefaults",
        "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
        "-kernel", CACHE / "vmlinux", "-initrd", archive,
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable clocksource=hpet no_timer_check",
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        "-fsdev", f"local,id=out,path={folder},security_model=none", "-device", "virtio-9p-pci,fsdev=out,mount_tag=out",
        "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=", *options,
    ]  # fmt: skip
    try:
        ran = subprocess.run(
            qemu,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"the guest has not ended in {timeout_s:.0f} s: {str(error.stdout)[-2000:]}")
    assert "guest-exit-0" in ran.stdout, ran.stdout + ran.stderr
    return ran.stdout


def _initramfs(command: str) -> bytes:
    order = (CACHE / "order").read_text()
    folders = ("bin", "dev", "host", "modules", "proc", "sys")
    entries: list[tuple[str, int, bytes]] = [(name, stat.S_IFDIR | 0o755, b"") for name in folders]
    entries += [
        ("init", stat.S_IFREG | 0o755, INIT.encode()),
        ("command", stat.S_IFREG | 0o644, command.encode()),
        ("bin/busybox", stat.S_IFREG | 0o755, Path(shutil.which("busybox") or "").read_bytes()),
        ("modules/order", stat.S_IFREG | 0o644, order.encode()),
    ]
    entries += [(f"modules/{name}", stat.S_IFREG | 0o644, (CACHE / name).read_bytes()) for name in order.split()]
    return b"".join(_cpio(number, *entry) for number, entry in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1))


def _cpio(number: int, name: str, mode: int, content: bytes) -> bytes:
    """One file of an archive in the "newc" format."""
    path = os.fsencode(name) + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    entry = b"070701" + b"".join(b"%08X" % value for value in fields) + path
    entry += b"\0" * (-len(entry) % 4)
    return entry + content + b"\0" * (-len(content) % 4)
