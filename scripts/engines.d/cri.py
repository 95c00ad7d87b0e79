#!/usr/bin/python3
"""A client of the Kubernetes container runtime interface (runtime.v1), with as much of it as the cases of `cri` need.

    cri.py SOCKET

Reads calls from standard input: words, each ended by a NUL, and an empty word at the end of each call.

    METHOD [FIELD=VALUE...] [-- FIELD...]

FIELD is a path in the request or the response: `config.command=sh config.command=-c` appends to a repeated field, `config.mounts.0.readonly=true`
names a message of one by its index, what follows a map's name is the key. Answers with those fields of the response, one a line (a field beneath a
repeated one: a line each), or with `error: MESSAGE`; a NUL ends the answer (one within it is shown as `?`).
"""
import sys

import grpc

# A message's fields by name: number, and type: text if not said, `*` if repeated.
MESSAGES = {
    "RunPodSandboxRequest": "config=1:PodSandboxConfig runtime_handler=2",
    "RunPodSandboxResponse": "pod_sandbox_id=1",
    "StopPodSandboxRequest": "pod_sandbox_id=1",
    "RemovePodSandboxRequest": "pod_sandbox_id=1",
    "PodSandboxStatusRequest": "pod_sandbox_id=1",
    "PodSandboxStatusResponse": "status=1:PodSandboxStatus",
    "ListPodSandboxRequest": "",
    "ListPodSandboxResponse": "items=1:PodSandbox*",
    "CreateContainerRequest": "pod_sandbox_id=1 config=2:ContainerConfig sandbox_config=3:PodSandboxConfig",
    "CreateContainerResponse": "container_id=1",
    "StartContainerRequest": "container_id=1",
    "StopContainerRequest": "container_id=1 timeout=2:int",
    "RemoveContainerRequest": "container_id=1",
    "ListContainersRequest": "filter=1:ContainerFilter",
    "ListContainersResponse": "containers=1:Container*",
    "ContainerStatusRequest": "container_id=1",
    "ContainerStatusResponse": "status=1:ContainerStatus",
    "ContainerStatsRequest": "container_id=1",
    "ContainerStatsResponse": "stats=1:ContainerStats",
    "UpdateContainerResourcesRequest": "container_id=1 linux=2:LinuxContainerResources",
    "ExecSyncRequest": "container_id=1 cmd=2:* timeout=3:int",
    "ExecSyncResponse": "stdout=1 stderr=2 exit_code=3:int",
    "ImageStatusRequest": "image=1:ImageSpec",
    "ImageStatusResponse": "image=1:Image",
    "PodSandboxConfig": "metadata=1:PodSandboxMetadata hostname=2 log_directory=3 annotations=7:map linux=8:LinuxPodSandboxConfig",
    "PodSandboxMetadata": "name=1 uid=2 namespace=3 attempt=4:int",
    "LinuxPodSandboxConfig": "cgroup_parent=1 security_context=2:LinuxSandboxSecurityContext sysctls=3:map",
    "LinuxSandboxSecurityContext": "namespace_options=1:NamespaceOption run_as_user=3:Int64Value privileged=6:bool seccomp=9:SecurityProfile",
    "NamespaceOption": "network=1:NamespaceMode pid=2:NamespaceMode ipc=3:NamespaceMode target_id=4",
    "Int64Value": "value=1:int",
    "SecurityProfile": "profile_type=1:ProfileType localhost_ref=2",
    "PodSandboxStatus": "id=1 state=3:PodSandboxState network=5:PodSandboxNetworkStatus",
    "PodSandboxNetworkStatus": "ip=1",
    "PodSandbox": "id=1 metadata=2:PodSandboxMetadata state=3:PodSandboxState runtime_handler=7",
    "ContainerConfig": "metadata=1:ContainerMetadata image=2:ImageSpec command=3:* args=4:* working_dir=5 envs=6:KeyValue* mounts=7:Mount*"
    " annotations=10:map log_path=11 tty=14:bool linux=15:LinuxContainerConfig",
    "ContainerMetadata": "name=1 attempt=2:int",
    "ImageSpec": "image=1",
    "Image": "id=1 repo_tags=2:*",
    "KeyValue": "key=1 value=2",
    "Mount": "container_path=1 host_path=2 readonly=3:bool propagation=5:MountPropagation",
    "LinuxContainerConfig": "resources=1:LinuxContainerResources security_context=2:LinuxContainerSecurityContext",
    "LinuxContainerResources": "cpu_period=1:int cpu_quota=2:int cpu_shares=3:int memory_limit_in_bytes=4:int oom_score_adj=5:int unified=9:map memory_swap_limit_in_bytes=10:int",
    "LinuxContainerSecurityContext": "capabilities=1:Capability privileged=2:bool namespace_options=3:NamespaceOption run_as_user=5:Int64Value"
    " run_as_username=6 readonly_rootfs=7:bool supplemental_groups=8:int* no_new_privs=11:bool run_as_group=12:Int64Value masked_paths=13:*"
    " readonly_paths=14:* seccomp=15:SecurityProfile",
    "Capability": "add_capabilities=1:* drop_capabilities=2:*",
    "ContainerFilter": "pod_sandbox_id=3",
    "Container": "id=1 pod_sandbox_id=2 metadata=3:ContainerMetadata state=6:ContainerState",
    "ContainerStatus": "id=1 metadata=2:ContainerMetadata state=3:ContainerState exit_code=7:int reason=10 message=11 log_path=15",
    "ContainerStats": "cpu=2:CpuUsage memory=3:MemoryUsage",
    "CpuUsage": "usage_core_nano_seconds=2:UInt64Value",
    "MemoryUsage": "working_set_bytes=2:UInt64Value",
    "UInt64Value": "value=1:int",
}
ENUMERATIONS = {
    "NamespaceMode": "POD CONTAINER NODE TARGET",
    "ProfileType": "RuntimeDefault Unconfined Localhost",
    "MountPropagation": "PROPAGATION_PRIVATE PROPAGATION_HOST_TO_CONTAINER PROPAGATION_BIDIRECTIONAL",
    "PodSandboxState": "SANDBOX_READY SANDBOX_NOTREADY",
    "ContainerState": "CONTAINER_CREATED CONTAINER_RUNNING CONTAINER_EXITED CONTAINER_UNKNOWN",
}


class Field:
    def __init__(self, text):
        self.name, rest = text.split("=")
        number, _, kind = rest.partition(":")
        self.number, self.repeated, self.kind = int(number), kind.endswith("*"), kind.rstrip("*") or "text"


FIELDS = {message: {field.name: field for field in map(Field, text.split())} for message, text in MESSAGES.items()}


def assign(message, values, path, text):
    """Puts a value, given as text, at its place in a message that is a dictionary."""
    name, _, rest = path.partition(".")
    if name not in FIELDS[message]:
        raise ValueError(f"{message} has no field {name!r}")
    field = FIELDS[message][name]
    if field.kind == "map":
        values.setdefault(name, {})[rest] = text
    elif field.kind in FIELDS and field.repeated:
        index, _, rest = rest.partition(".")
        items = values.setdefault(name, [])
        while len(items) <= int(index):
            items.append({})
        assign(field.kind, items[int(index)], rest, text)
    elif field.kind in FIELDS:
        assign(field.kind, values.setdefault(name, {}), rest, text)
    elif field.repeated:
        values.setdefault(name, []).append(scalar(field, text))
    else:
        values[name] = scalar(field, text)


def scalar(field, text):
    if field.kind == "bool":
        return {"true": 1, "false": 0}[text]
    if field.kind in ENUMERATIONS:
        return ENUMERATIONS[field.kind].split().index(text)
    return int(text) if field.kind == "int" else text


# The wire format: each field is a number with the kind of what follows, then a varint, eight or four bytes, or a length and so many bytes.
def varint(number):
    number &= 2**64 - 1
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(octets) + bytes([number])


def encode(message, values):
    octets = b""
    for name, value in values.items():
        field = FIELDS[message][name]
        if field.kind == "map":
            value = [b"".join(chunk(number, text.encode()) for number, text in ((1, key), (2, item))) for key, item in value.items()]
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                octets += varint(field.number << 3) + varint(item)
            else:
                octets += chunk(field.number, item if isinstance(item, bytes) else item.encode() if isinstance(item, str) else encode(field.kind, item))
    return octets


def chunk(number, octets):
    return varint(number << 3 | 2) + varint(len(octets)) + octets


class Reader:
    def __init__(self, octets):
        self.octets, self.position = octets, 0

    def take(self, count):
        taken = self.octets[self.position : self.position + count]
        if len(taken) != count:
            raise ValueError("the response ends early")
        self.position += count
        return taken

    def varint(self):
        number = shift = 0
        while True:
            octet = self.take(1)[0]
            number |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return number - 2**64 if number >= 2**63 else number

    def value(self, kind):
        if kind == 0:
            return self.varint()
        if kind not in (1, 2, 5):
            raise ValueError(f"the response has a field of wire type {kind}")
        return self.take({1: 8, 5: 4}.get(kind) or self.varint())


def decode(message, octets):
    """A dictionary of the known fields, those of no value included; a nested message that is absent is not there."""
    fields = {field.number: field for field in FIELDS.get(message, {}).values()}
    values = {field.name: [] if field.repeated else shown(field, None) for field in fields.values() if field.repeated or field.kind not in FIELDS}
    reader = Reader(octets)
    while reader.position < len(octets):
        tag = reader.varint()
        value = reader.value(tag & 7)
        field = fields.get(tag >> 3)
        if not field:
            continue
        value = shown(field, value)
        if field.repeated:
            values[field.name].append(value)
        else:
            values[field.name] = value
    return values


def shown(field, value):
    if field.kind in FIELDS:
        return decode(field.kind, value)
    if field.kind == "text":
        return (value or b"").decode(errors="replace")
    value = value or 0
    if field.kind in ENUMERATIONS:
        words = ENUMERATIONS[field.kind].split()
        return words[value] if 0 <= value < len(words) else f"{field.kind} {value}"
    return bool(value) if field.kind == "bool" else value


def look(value, path):
    """The lines that a path gives."""
    if isinstance(value, list):
        return [line for item in value for line in look(item, path)]
    if not path:
        return [str(value)]
    name, _, rest = path.partition(".")
    return look(value[name], rest) if name in value else [f"(no {name})"]


def call(channel, words):
    method, *words = words
    wanted = words[words.index("--") + 1 :] if "--" in words else []
    request = {}
    for word in words[: words.index("--")] if "--" in words else words:
        path, _, text = word.partition("=")
        assign(method + "Request", request, path, text)
    service = "ImageService" if method.startswith("Image") else "RuntimeService"
    response = channel.unary_unary(f"/runtime.v1.{service}/{method}")(encode(method + "Request", request), timeout=90)
    answer = decode(method + "Response", response)
    return "\n".join(line for path in wanted for line in look(answer, path))


def calls(stream):
    words = []
    pending = b""
    while octets := stream.read1(65536):
        *complete, pending = (pending + octets).split(b"\0")
        for word in complete:
            if word:
                words.append(word.decode())
            else:
                yield words
                words = []


def main():
    with grpc.insecure_channel("unix:" + sys.argv[1]) as channel:
        for words in calls(sys.stdin.buffer):
            try:
                answer = call(channel, words)
            except grpc.RpcError as error:
                answer = "error: " + error.details()
            except (KeyError, ValueError) as error:
                answer = f"error: {' '.join(words)}: {error!r}"
            sys.stdout.buffer.write(answer.encode().replace(b"\0", b"?") + b"\0")
            sys.stdout.buffer.flush()


main()
