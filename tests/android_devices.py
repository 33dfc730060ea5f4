"""Android-shaped devices: the real adbd in a namespace of its own.

adbd listens on every address and asks for no key, so it gets no network but its own.
It comes from Debian's package; `.ci/adbd.sh` fetches it.
"""

import os
import pathlib
import shutil
import subprocess
import time

from device_servers import children
from device_servers import require

ROOT = pathlib.Path(__file__).resolve().parent.parent
ADBD = pathlib.Path(os.environ.get("KERAS_EFFNET_ADBD", ROOT / "build" / "adbd"))

# A root without the system's libraries, which Android doesn't have either; adb's server
# is reached through a socket in the file system, the one thing both sides share.
_DEVICE = r"""
set -e
folder=$1 adbd=$2; shift 2
mkdir "$folder/root"
mount -t tmpfs none "$folder/root"
cd "$folder/root"
mkdir -p bin system adbd proc dev sys
mkdir -p data/local/tmp data/local/small data/local/readonly
cp "$(command -v busybox)" bin/busybox
chroot . /bin/busybox --install -s /bin
mount --bind "$adbd" adbd
for shared in proc dev sys; do mount --rbind "/$shared" "$shared"; done
mount -t tmpfs -o size=1m none data/local/small
mount -t tmpfs -o ro none data/local/readonly
if [ -e "$folder/cpuinfo" ]; then mount --bind "$folder/cpuinfo" proc/cpuinfo; fi
if [ -e "$folder/interpreter" ]; then
  mkdir "$folder/binfmt"
  mount -t binfmt_misc none "$folder/binfmt"
  cat "$folder/interpreter" >"$folder/binfmt/register"
fi
ip link set lo up
HOME=$folder adb -L "localfilesystem:$folder/adb.sock" server nodaemon \
  >"$folder/server.log" 2>&1 &
libraries=/adbd/usr/lib/x86_64-linux-gnu
port=5601
for device; do
  cp -r "$folder/$device" system
  PATH=/system/$device:/bin ADBD_PORT=$port QEMU_CPU=cortex-a76 /usr/sbin/chroot . \
    /adbd/usr/lib64/ld-linux-x86-64.so.2 \
    --library-path "$libraries:$libraries/android" \
    /adbd/usr/lib/android-sdk/platform-tools/adbd >"$folder/$device.log" 2>&1 &
  echo $! >"$folder/$device.pid"
  port=$((port + 2))
done
echo $$ >"$folder/ready"
wait
"""
# Programs for aarch64, as the kernel recognises them, run by QEMU.
_INTERPRETER = (
    rb":aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    rb":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    rb":"
)
_CPUINFO = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid \
asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1
"""
_GETPROP = """#!/bin/sh
case $1 in
ro.product.cpu.abi) echo {abi};;
ro.product.manufacturer) echo Example;;
ro.product.model) echo Phone 1;;
ro.build.version.release) echo 15;;
esac
"""
# As Android 11 and later print it, with the traps that it has: a second level, a
# sensor that is missing, and a cache of old temperatures.
_DUMPSYS = """#!/bin/sh
case $1 in
battery) cat <<'END'
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 2400000
  status: 2
  health: 2
  present: true
  level: 85
  scale: 100
  voltage: 4154
  temperature: 293
  technology: Li-ion
  Capacity level: -1
END
;;
thermalservice) cat <<'END'
IsStatusOverride: false
ThermalEventListeners:
	callbacks: 1
	killed: false
	broadcasts count: -1
ThermalStatusListeners:
	callbacks: 1
	killed: false
	broadcasts count: -1
Thermal Status: 1
Cached temperatures:
	Temperature{mValue=45.979, mType=3, mName=skin, mStatus=2}
HAL Ready: true
HAL connection:
	ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
	Temperature{mValue=36.4, mType=3, mName=skin, mStatus=1}
	Temperature{mValue=41.2, mType=0, mName=CPU0, mStatus=0}
	Temperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=2, mType=2, mName=thermal-cpufreq-0}
END
;;
esac
"""


class Devices:
    """Android-shaped devices behind one adb server, in a namespace.

    Args:
        folder: An empty folder, for what they need; its path must be short.
        abis: For each device, what it says of its ABI, and whether it has `dumpsys`.
        emulated: Whether they have a Cortex-A76, emulated by QEMU.
    """

    def __init__(self, folder, abis, emulated=False):
        for tool in ("adb", "unshare", "nsenter", "ip"):
            require(shutil.which(tool), tool)
        # The one of the package busybox-static needs no libraries.
        require(shutil.which("busybox"), "busybox")
        require(ADBD.exists(), f"{ADBD} (`.ci/adbd.sh {ADBD}` makes it)")
        self._folder = pathlib.Path(folder)
        names = [f"device{number}" for number in range(len(abis))]
        for name, (abi, dumpsys) in zip(names, abis, strict=True):
            (self._folder / name).mkdir()
            scripts = {"getprop": _GETPROP.replace("{abi}", abi)}
            if dumpsys:
                scripts["dumpsys"] = _DUMPSYS
            for script, text in scripts.items():
                (self._folder / name / script).write_text(text)
                (self._folder / name / script).chmod(0o755)
        if emulated:
            qemu = shutil.which("qemu-aarch64-static")
            require(qemu, "qemu-aarch64-static")
            registration = _INTERPRETER + qemu.encode() + b":F"
            (self._folder / "interpreter").write_bytes(registration)
            (self._folder / "cpuinfo").write_text(_CPUINFO)
        self.serials = [f"127.0.0.1:{5601 + 2 * n}" for n in range(len(abis))]
        command = [
            *("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid"),
            *("--fork", "--kill-child", "bash", "-c", _DEVICE, "bash"),
            *(str(self._folder), str(ADBD), *names),
        ]
        with (self._folder / "log").open("w") as log:
            self._unshare = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        for _ in range(200):
            if self._unshare.poll() is not None:
                break
            if (self._folder / "ready").exists() and all(
                "adbd started" in (self._folder / f"{name}.log").read_text()
                for name in names
            ):
                return
            time.sleep(0.05)
        reason = (self._folder / "log").read_text()
        self.close()
        require(False, f"a namespace for adbd ({reason})")

    @property
    def server(self):
        """What `$ADB_SERVER_SOCKET` must be for `adb` to find these devices."""
        return f"localfilesystem:{self._folder}/adb.sock"

    def adb(self, *arguments):
        environment = os.environ | {"ADB_SERVER_SOCKET": self.server}
        return subprocess.run(
            ["adb", *arguments],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def left(self, number=0, folder="/data/local/tmp"):
        """What stands in a folder of a device."""
        return self.adb("-s", self.serials[number], "shell", "ls", "-A", folder).split()

    def signal(self, name, number=0):
        """Sends a signal to a device's daemon."""
        daemon = (self._folder / f"device{number}.pid").read_text().strip()
        subprocess.run(
            [
                *("nsenter", "--target", str(self._first_process())),
                *("--user", "--pid", "--preserve-credentials"),
                *("kill", "-s", name, daemon),
            ],
            check=True,
        )

    def remains(self, folder="data/local/tmp"):
        """What stands in a folder of the devices, should no daemon tell."""
        root = pathlib.Path(f"/proc/{self._first_process()}/root/{self._folder}/root")
        return list((root / folder).iterdir())

    def _first_process(self):
        (pid,) = children(self._unshare.pid)
        return pid

    def look(self, number=0, folder="/data/local/tmp"):
        """The text of the file `pid` in a temporary folder of a device."""
        look = f"cat {folder}/keras_effnet-*/pid 2>/dev/null || true"
        return self.adb("-s", self.serials[number], "shell", look)

    def close(self):
        self._unshare.kill()
        self._unshare.wait()
