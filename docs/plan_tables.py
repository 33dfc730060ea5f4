"""The tables of plan-21k.md."""

import plan_21k


def plan_input():
    """On paper: `docs/plan_21k.py`."""
    yield (
        "network",
        "of the peak",
        "images/s of one",
        "images/s of all",
        "JPEG files",
        "cores in all",
        "cores of one accelerator",
    )
    for name, share, plan in _plans():
        cores = plan["cores"].values()
        yield (
            f"`{name}`",
            share,
            f"{plan['images_per_second_of_one']:,.0f}",
            f"{plan['images_per_second']:,.0f}",
            f"{plan['input_bytes_per_second'] / 1e9:.1f} GB/s",
            " to ".join(f"{count:,.0f}" for count in cores),
            " to ".join(f"{count / plan['accelerators']:.0f}" for count in cores),
        )


def plan_step():
    """On paper: `docs/plan_21k.py`."""
    yield (
        "network",
        "of the peak",
        "computing",
        "adding up",
        "60 epochs",
        "not hidden",
        "own cores",
        "accelerator hours",
        "price",
    )
    for name, share, plan in _plans():
        yield (
            f"`{name}`",
            share,
            f"{plan['compute_seconds'] * 1e3:.1f} ms",
            f"{plan['all_reduce_seconds'] * 1e3:.1f} ms",
            *(f"{hours:.1f} h" for hours in plan["hours"].values()),
            _range(plan["accelerator_hours"], ",.0f"),
            f"${_range(plan['dollars'], ',.0f')}",
        )


def _plans():
    for name, network in plan_21k.report()["networks"].items():
        for share, plan in network["plans"].items():
            yield name, f"{float(share):.0%}", plan


def _range(values, form):
    return f"{min(values.values()):{form}} to {max(values.values()):{form}}"


def plan_all_reduce():
    """On paper: `docs/plan_21k.py`."""
    yield "network", "arrays", "each sends", "between machines", "inside one machine"
    report = plan_21k.report()
    inside = report["assumed"]["nvlink_bytes_per_second"]
    for name, network in report["networks"].items():
        summing = network["all_reduce"]
        yield (
            f"`{name}`",
            f"{summing['bytes'] / 1e6:,.0f} MB",
            f"{summing['sent_bytes'] / 1e6:,.0f} MB",
            f"{summing['seconds'] * 1e3:.1f} ms",
            f"{summing['sent_bytes'] / inside * 1e3:.1f} ms",
        )


def plan_limits():
    """On paper: `docs/plan_21k.py`."""
    report = plan_21k.report()
    networks = report["networks"]
    yield "full is", *(f"`{name}`" for name in networks)
    first = next(iter(networks.values()))
    for limit in sorted(first["limits"], key=first["limits"].get):
        yield limit, *(_with_share(report, each, limit) for each in networks.values())


def _with_share(report, network, limit):
    rate = network["limits"][limit]
    work = network["operations_of_a_training_image"]
    return f"{rate:,.0f} ({rate * work / report['assumed']['peak_flops']:.0%})"


def plan_checkpoint():
    """Counted: `docs/plan_21k.py`."""
    yield "network", "parameters", "checkpoint", "to write", "of the time"
    for name, network in plan_21k.report()["networks"].items():
        checkpoint = network["checkpoint"]
        yield (
            f"`{name}`",
            f"{network['trainable_parameters'] / 1e6:.1f} M",
            f"{checkpoint['bytes'] / 1e9:.2f} GB",
            f"{checkpoint['seconds']:.1f} s",
            f"{checkpoint['share_of_time']:.2%}",
        )


def plan_published():
    """Published hours: `docs/plan_21k.py`."""
    yield "network", "hours", "images/s of a core", "of its peak"
    for name, network in plan_21k.report()["networks"].items():
        published = network["published"]
        yield (
            f"`{name}`",
            f"{published['hours']:.1f}",
            f"{published['images_per_second_of_one']:.0f}",
            f"{published['share_of_peak']:.0%}",
        )
