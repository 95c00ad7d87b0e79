"""Turns what bench/inside measured into a table and bench.json."""
import json
import pathlib
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
    rows.append({"name": name, "unit": unit, "value": round(middle, 2), "peer": peer})
    print(f"{name:<52}{middle:>9.1f} {unit:<4}{spread:<22}{aim}")


def timed(name):
    return [tuple(map(int, line.split()))[:2] for line in (result / name).read_text().splitlines()][1:]


starts = timed("nacelle")
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
print("A cold `nacelle-oci run` of /bin/true, 1 vCPU, 128 MiB; virtual milliseconds, median of five after one warm-up")
previous = [start for start, _ in starts]
for name in NAMES:
    times = [marks.get(name) for marks in phases]
    row(f"  … {name}", [(t - p) / 1e6 if t and p else None for t, p in zip(times, previous)], "ms")
    previous = [t or p for t, p in zip(times, previous)]
row("  … all gone", [(end - p) / 1e6 for (_, end), p in zip(starts, previous)], "ms")
row("run to the process's first instruction", [(m["process runs"] - s) / 1e6 for (s, _), m in zip(starts, phases) if "process runs" in m], "ms", "aim: 150")
row("nacelle-oci run, start to end", [(e - s) / 1e6 for s, e in starts], "ms")
for peer, title in [("runc", "runc run, start to end"), ("crun", "crun run, start to end"), ("qemu", "QEMU -M microvm, start to power-off")]:
    row(title, [(e - s) / 1e6 for s, e in timed(peer)], "ms", peer=peer)

private = guest = 0
size, is_guest = 0, False
for line in (result / "smaps").read_text().splitlines():
    fields = line.split()
    if "-" in fields[0] and not fields[0].endswith(":"):
        # Guest memory: the memfd, and the kernel's pages mapped over it.
        is_guest = "nacelle-memory" in line or "vmlinux" in line or "root.erofs" in line
    elif fields[0] == "Rss:" and is_guest and "root.erofs" not in line:
        guest += int(fields[1])
    elif fields[0] in ("Private_Clean:", "Private_Dirty:") and not is_guest:
        private += int(fields[1]) if fields[0] == "Private_Dirty:" else 0
print("An idle machine, 1 vCPU, 128 MiB")
row("nacelle-vmm's private memory, without the guest's", [private / 1024], "MiB", "aim: 4")
row("the guest's resident memory", [guest / 1024], "MiB", "aim: 24")
output.parent.mkdir(exist_ok=True)
output.write_text(json.dumps(rows, indent=1) + "\n")
print(f"written to {output}")
