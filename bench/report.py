"""Turns what bench/inside measured into a table and bench.json."""
import json
import pathlib
import re
import statistics
import sys

result, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
rows = []


def row(name, values, unit, aim="", peer=""):
    values = [v for v in values if v is not None]
    if not values:
        print(f"{name}: nothing was measured")
        return
    middle = statistics.median(values)
    spread = "" if max(values) - min(values) <= 0.02 * max(middle, 1e-9) else f"  ({min(values):.1f} to {max(values):.1f})"
    rows.append({"name": name.strip(" …"), "unit": unit, "value": round(middle, 2), "peer": peer})
    print(f"{name:<56}{middle:>9.1f} {unit:<4}{spread:<22}{aim}")


def timed(name, skipped=1):
    """The lines of a measurement after its warm-up: start, end, status, peak."""
    return [tuple(map(int, line.split())) for line in (result / name).read_text().splitlines()][skipped:]


def span(lines):
    """Milliseconds from the first start to the last end."""
    return (max(line[1] for line in lines) - min(line[0] for line in lines)) / 1e6


starts = timed("microvm")
phases, marks = [], {}
for line in (result / "phases").read_text().splitlines():
    if line == "end":
        phases.append(marks)
        marks = {}
    else:
        time, _, phase = line.partition(" ")
        marks[phase] = int(time)
phases = phases[1:]

NAMES = ["vmm starts", "machine built", "kernel entered", "agent ready", "container created", "process runs", "process ended", "vmm ends"]
print("A cold `nacelle-oci run` of true, 1 vCPU, 128 MiB; virtual milliseconds, median of five after one warm-up")
previous = [start[0] for start in starts]
for name in NAMES:
    times = [marks.get(name) for marks in phases]
    row(f"  … {name}", [(t - p) / 1e6 if t and p else None for t, p in zip(times, previous)], "ms")
    previous = [t or p for t, p in zip(times, previous)]
row("  … all gone", [(end - p) / 1e6 for (_, end, *_), p in zip(starts, previous)], "ms")
row("run to the process's first instruction", [(m["process runs"] - s) / 1e6 for (s, *_), m in zip(starts, phases) if "process runs" in m], "ms", "aim: 150")
RUNTIMES = [("namespace", "nacelle-oci --isolation namespace"), ("microvm", "nacelle-oci"), ("crun", "crun"), ("runc", "runc")]


def compared(title, unit, values, aim=""):
    """A row for each runtime."""
    print(title)
    for name, text in RUNTIMES:
        if not (figures := values(name)): continue
        row(f"  {text}", figures, unit, aim if text.startswith("nacelle") else "", "" if text.startswith("nacelle") else name)
        rows[-1]["name"] = f"{text} {title}"


compared("run, start to end", "ms", lambda name: [span([line]) for line in timed(name)])
row("  QEMU -M microvm, start to power-off", [span([line]) for line in timed("qemu")], "ms", peer="qemu")
count = len(timed("crun.sequence", 0))
compared(f"create, start, process's end, delete: one of {count} in sequence", "ms", lambda name: [span([line]) for line in timed(f"{name}.sequence", 0)])
compared(f"{count} of them in sequence", "ms", lambda name: [span(timed(f"{name}.sequence", 0))])
for column, verb in [(2, "create"), (3, "start"), (4, "delete")]:
    compared(f"{verb}: peak memory", "MiB", lambda name: [line[column] / 1024 for line in timed(f"{name}.sequence", 0)], "aim: 8")
compared("state: peak memory", "MiB", lambda name: [line[3] / 1024 for line in timed(f"{name}.state", 0)], "aim: 8")
compared("run: peak memory, or that of a process that it waits for", "MiB", lambda name: [line[3] / 1024 for line in timed(name)], "aim: 8")

# Memory, in KiB, by what is mapped: the guest's RAM is the VMM's only mapping that is advised against huge pages (`nh`).
private = {"ram": 0, "kernel": 0, "image": 0, "vmm": 0}
shared = dict(private)
for mapping in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", (result / "smaps").read_text(), flags=re.M)[1:]:
    head = mapping.partition("\n")[0]
    size = {name: int(kib) for name, kib in re.findall(r"^(\w+): +(\d+) kB", mapping, flags=re.M)}
    flags = re.search(r"^VmFlags: (.*)", mapping, flags=re.M)[1].split()
    kind = "kernel" if "/vmlinux" in head else "image" if "/root.erofs" in head else "ram" if "nh" in flags else "vmm"
    private[kind] += size["Private_Clean"] + size["Private_Dirty"]
    shared[kind] += size["Shared_Clean"] + size["Shared_Dirty"]
# In real time, so only the ratio to the peers' of the same run says anything.
compared("16 of them at once, until all are gone, in real time in the testbed", "ms", lambda name: [span(timed(f"{name}.at-once.{round}", 0)) for round in range(3)])

print("An idle machine beside another, 1 vCPU, 128 MiB")
row("nacelle-vmm's own private memory", [private["vmm"] / 1024], "MiB", "aim: 4")
row("the guest's private memory: RAM, kernel pages written", [(private["ram"] + private["kernel"]) / 1024], "MiB", "aim: 24")
row("  of it kernel pages written", [private["kernel"] / 1024], "MiB")
row("shared by all machines: kernel, root image, nacelle-vmm", [sum(shared.values()) / 1024], "MiB")
output.parent.mkdir(exist_ok=True)
output.write_text(json.dumps(rows, indent=1) + "\n")
print(f"written to {output}")
