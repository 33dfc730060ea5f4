"""What a target with a shell tells of itself: processor, system, heat, battery."""

import re

_FACTS = """
say() { echo "$1=$2"; }
say machine "$(uname -m)"
say release "$(uname -sr)"
say cpuinfo "$(grep -m 1 -E '^(model name|Hardware|Model)' /proc/cpuinfo)"
say cores "$(nproc || grep -c ^processor /proc/cpuinfo)"
say governor "$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)"
say load "$(cat /proc/loadavg)"
command -v getprop >/dev/null || exit 0
for name in ro.soc.manufacturer ro.soc.model ro.product.manufacturer \
    ro.product.model ro.build.version.release ro.build.fingerprint; do
  say $name "$(getprop $name)"
done
"""
_STATE = """
dumpsys battery
echo keras_effnet-next
dumpsys thermalservice
echo keras_effnet-next
for zone in /sys/class/thermal/thermal_zone*; do
  echo "$(cat $zone/temp) $(cat $zone/type)"
done
"""
_NO_SENSOR_BELOW = -50  # a missing sensor is given as -99.9 or so


def device_facts(shell):
    """What the times on a target depend on: `device` of a result, without `battery` and
    `thermal`."""
    lines = shell.run(["sh", "-c", _FACTS]).text.splitlines()
    told = {key: value for key, _, value in (line.partition("=") for line in lines)}
    release = told.get("ro.build.version.release")
    load = told["load"].split()
    return {
        "cpu": _joined(told, "ro.soc.manufacturer", "ro.soc.model")
        or told["cpuinfo"].partition(":")[2].strip()
        or None,
        "machine": told["machine"],
        "cores": int(told["cores"]),
        "os": f"Android {release}, {told['release']}" if release else told["release"],
        "governor": told["governor"] or None,
        "load_average": float(load[0]) if load else None,
        "product": _joined(told, "ro.product.manufacturer", "ro.product.model"),
        "build": told.get("ro.build.fingerprint") or None,
    }


def _joined(told, *keys):
    return " ".join(told[key] for key in keys if told.get(key)) or None


def device_state(shell):
    """How warm and how full a target is at this moment, `None` where it can't tell:
    `battery` with `level_percent`, `temperature_c` and `plugged`; `thermal` with
    `status`, Android's step of throttling from 0, for none, to 6, and `temperatures_c`,
    by the sensors' names."""
    text = shell.run(["sh", "-c", _STATE]).text
    battery, thermal, zones = text.split("keras_effnet-next")
    return {"battery": _battery(battery), "thermal": _thermal(thermal, zones)}


def _battery(text):
    fields = dict(re.findall(r"^ *([\w ]+): (-?\w+)\s*$", text, re.MULTILINE))
    if "level" not in fields or fields.get("present") == "false":
        return None
    tenths = fields.get("temperature")
    return {
        "level_percent": 100 * int(fields["level"]) / int(fields.get("scale", 100)),
        "temperature_c": None if tenths is None else int(tenths) / 10,
        "plugged": any(
            fields.get(f"{source} powered") == "true"
            for source in ("AC", "USB", "Wireless", "Dock")
        ),
    }


def _thermal(text, zones):
    status = re.search(r"^Thermal Status: (\d+)", text, re.MULTILINE)
    # What is cached is the last that was broadcast, maybe of hours ago.
    _, now, current = text.partition("Current temperatures from HAL:")
    sensors = re.findall(
        r"Temperature\{mValue=([-\d.]+), mType=-?\d+, mName=([^,]+),",
        current.partition("Current cooling")[0] if now else text,
    )
    temperatures = {name: float(value) for value, name in sensors}
    if not temperatures:
        lines = re.findall(r"^(-?\d+) (\S+)$", zones, re.MULTILINE)
        temperatures = {name: int(value) / 1000 for value, name in lines}
    temperatures = {
        name: value for name, value in temperatures.items() if value > _NO_SENSOR_BELOW
    }
    if not status and not temperatures:
        return None
    return {
        "status": int(status[1]) if status else None,
        "temperatures_c": temperatures,
    }
