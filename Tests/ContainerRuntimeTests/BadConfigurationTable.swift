import LinuxSystem

/// Broken configurations, one a line: where it is refused (`any`: by the specification's checks; else by the plan of that isolation), what of
/// the good configuration is changed (as a merge patch, RFC 7396: `null` removes), and the whole complaint without its `config.json: `.
/// `<N>` is a word of N letters a.
let badConfigurations = #"""
    # the document
    any {"ociVersion":null} => ociVersion: is missing
    any {"ociVersion":1} => ociVersion: expected a string, found a number
    any {"ociVersion":""} => ociVersion: version "" is not supported: 1.0.0 to 1.3.x are
    any {"ociVersion":"1.0"} => ociVersion: version "1.0" is not supported: 1.0.0 to 1.3.x are
    any {"ociVersion":"1.4.0"} => ociVersion: version "1.4.0" is not supported: 1.0.0 to 1.3.x are
    any {"ociVersion":"2.0.0"} => ociVersion: version "2.0.0" is not supported: 1.0.0 to 1.3.x are
    any {"ociVersion":"0.9.0"} => ociVersion: version "0.9.0" is not supported: 1.0.0 to 1.3.x are
    any {"ociVersion":"latest"} => ociVersion: version "latest" is not supported: 1.0.0 to 1.3.x are
    any {"ociVersion":"1.0.2\u0000"} => ociVersion: version "1.0.2\u0000" is not supported: 1.0.0 to 1.3.x are
    any {"windows":{}} => windows: a configuration for another platform than Linux
    any {"solaris":{"milestone":"x"}} => solaris: a configuration for another platform than Linux
    any {"zos":{}} => zos: a configuration for another platform than Linux
    any {"freebsd":{}} => freebsd: a configuration for another platform than Linux
    any {"hostname":5} => hostname: expected a string, found a number
    any {"hostname":"h","linux":{"namespaces":[{"type":"mount"},{"type":"network"}]}} => hostname: needs a uts namespace in linux.namespaces
    any {"hostname":"<65>"} => hostname: is longer than 64 bytes
    any {"hostname":"a\u0000b"} => hostname: contains a NUL byte
    any {"domainname":[]} => domainname: expected a string, found an array
    any {"domainname":"d","linux":{"namespaces":[{"type":"mount"},{"type":"network"}]}} => domainname: needs a uts namespace in linux.namespaces
    any {"domainname":"<65>"} => domainname: is longer than 64 bytes
    any {"domainname":"a\u0000b"} => domainname: contains a NUL byte
    any {"annotations":[]} => annotations: expected an object, found an array
    any {"annotations":{"a":1}} => annotations.a: expected a string, found a number
    any {"annotations":{"a b":1}} => annotations["a b"]: expected a string, found a number
    any {"annotations":{"":"x"}} => annotations: a key is empty
    # root
    any {"root":null} => root: is missing
    any {"root":"rootfs"} => root: expected an object, found a string
    any {"root":{"path":null}} => root.path: is missing
    any {"root":{"path":""}} => root.path: is empty
    any {"root":{"path":7}} => root.path: expected a string, found a number
    any {"root":{"path":"a\u0000b"}} => root.path: contains a NUL byte
    any {"root":{"path":"<4096>"}} => root.path: is longer than 4095 bytes
    any {"root":{"readonly":"yes"}} => root.readonly: expected a boolean, found a string
    # process
    any {"process":[]} => process: expected an object, found an array
    namespace {"process":null} => process: is missing
    microvm {"process":null} => process: is missing
    any {"process":{"terminal":1}} => process.terminal: expected a boolean, found a number
    any {"process":{"consoleSize":{"height":24}}} => process.consoleSize.width: is missing
    any {"process":{"consoleSize":{"height":24,"width":65536}}} => process.consoleSize.width: 65536 is not from 0 to 65535
    any {"process":{"consoleSize":{"height":-1,"width":80}}} => process.consoleSize.height: -1 is not from 0 to 65535
    any {"process":{"args":null}} => process.args: must not be empty
    any {"process":{"args":[]}} => process.args: must not be empty
    any {"process":{"args":"sh -c true"}} => process.args: expected an array, found a string
    any {"process":{"args":["sh",null]}} => process.args[1]: expected a string, found null
    any {"process":{"args":["sh","-c",3]}} => process.args[2]: expected a string, found a number
    any {"process":{"args":["sh","a\u0000b"]}} => process.args[1]: contains a NUL byte
    any {"process":{"env":"A=b"}} => process.env: expected an array, found a string
    any {"process":{"env":["A=b","C"]}} => process.env[1]: "C" is not of the form NAME=VALUE
    any {"process":{"env":["=x"]}} => process.env[0]: "=x" is not of the form NAME=VALUE
    any {"process":{"env":["A=b\u0000c"]}} => process.env[0]: contains a NUL byte
    any {"process":{"cwd":null}} => process.cwd: is missing
    any {"process":{"cwd":""}} => process.cwd: "" is not an absolute path
    any {"process":{"cwd":"tmp"}} => process.cwd: "tmp" is not an absolute path
    any {"process":{"cwd":"/a\u0000b"}} => process.cwd: contains a NUL byte
    any {"process":{"cwd":"/<4095>"}} => process.cwd: is longer than 4095 bytes
    any {"process":{"noNewPrivileges":"true"}} => process.noNewPrivileges: expected a boolean, found a string
    any {"process":{"oomScoreAdj":-1001}} => process.oomScoreAdj: must be from -1000 to 1000
    any {"process":{"oomScoreAdj":1001}} => process.oomScoreAdj: must be from -1000 to 1000
    any {"process":{"oomScoreAdj":0.5}} => process.oomScoreAdj: expected an integer, found 0.5
    any {"process":{"apparmorProfile":"a\u0000b"}} => process.apparmorProfile: contains a NUL byte
    any {"process":{"selinuxLabel":{}}} => process.selinuxLabel: expected a string, found an object
    any {"process":{"user":"root"}} => process.user: expected an object, found a string
    any {"process":{"user":{"uid":-1}}} => process.user.uid: -1 is not from 0 to 4294967295
    any {"process":{"user":{"uid":4294967295}}} => process.user.uid: must be from 0 to 4294967294
    any {"process":{"user":{"uid":4294967296}}} => process.user.uid: 4294967296 is not from 0 to 4294967295
    any {"process":{"user":{"gid":"0"}}} => process.user.gid: expected an integer, found a string
    any {"process":{"user":{"gid":4294967295}}} => process.user.gid: must be from 0 to 4294967294
    any {"process":{"user":{"umask":512}}} => process.user.umask: is more than 0777
    any {"process":{"user":{"additionalGids":[1,4294967295]}}} => process.user.additionalGids[1]: must be from 0 to 4294967294
    any {"process":{"user":{"additionalGids":{"1":2}}}} => process.user.additionalGids: expected an array, found an object
    any {"process":{"user":{"username":7}}} => process.user.username: expected a string, found a number
    any {"process":{"capabilities":["CAP_KILL"]}} => process.capabilities: expected an object, found an array
    any {"process":{"capabilities":{"bounding":["CAP_NOPE"]}}} => process.capabilities.bounding[0]: "CAP_NOPE" is not a capability
    any {"process":{"capabilities":{"effective":["kill"]}}} => process.capabilities.effective[0]: "kill" is not a capability
    any {"process":{"capabilities":{"inheritable":[""]}}} => process.capabilities.inheritable[0]: "" is not a capability
    any {"process":{"capabilities":{"permitted":["CAP_KILL\u0000"]}}} => process.capabilities.permitted[0]: "CAP_KILL\u0000" is not a capability
    any {"process":{"capabilities":{"ambient":["<300>"]}}} => process.capabilities.ambient[0]: "<100>…" is not a capability
    any {"process":{"capabilities":{"ambient":"CAP_KILL"}}} => process.capabilities.ambient: expected an array, found a string
    any {"process":{"rlimits":{"RLIMIT_CPU":1}}} => process.rlimits: expected an array, found an object
    any {"process":{"rlimits":[{"soft":1,"hard":1}]}} => process.rlimits[0].type: is missing
    any {"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":1}]}} => process.rlimits[0].hard: is missing
    any {"process":{"rlimits":[{"type":"RLIMIT_CPU","hard":1}]}} => process.rlimits[0].soft: is missing
    any {"process":{"rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}} => process.rlimits[0].type: "RLIMIT_X" is not a resource limit
    any {"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]}} => process.rlimits[0].soft: is greater than the hard limit
    any {"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":-1,"hard":1}]}} => process.rlimits[0].soft: -1 is not from 0 to 18446744073709551615
    any {"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":18446744073709551616}]}} => process.rlimits[0].hard: expected an integer, found 1.8446744073709552e+19
    any {"process":{"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_CPU","soft":1,"hard":1}]}} => process.rlimits[1].type: "RLIMIT_CPU" occurs twice
    any {"process":{"ioPriority":{"priority":4}}} => process.ioPriority.class: is missing
    any {"process":{"ioPriority":{"class":"IOPRIO_CLASS_NONE","priority":4}}} => process.ioPriority.class: "IOPRIO_CLASS_NONE" is not one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE
    any {"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}}} => process.ioPriority.priority: must be from 0 to 7
    any {"process":{"scheduler":{}}} => process.scheduler.policy: is missing
    any {"process":{"scheduler":{"policy":"SCHED_FAIR"}}} => process.scheduler.policy: "SCHED_FAIR" is not one of SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_ISO, SCHED_IDLE, SCHED_DEADLINE
    any {"process":{"scheduler":{"policy":"SCHED_OTHER","nice":20}}} => process.scheduler.nice: must be from -20 to 19
    any {"process":{"scheduler":{"policy":"SCHED_OTHER","priority":5}}} => process.scheduler.priority: SCHED_OTHER has none: SCHED_FIFO and SCHED_RR have
    any {"process":{"scheduler":{"policy":"SCHED_FIFO","priority":0}}} => process.scheduler.priority: must be from 1 to 99 for SCHED_FIFO
    any {"process":{"scheduler":{"policy":"SCHED_RR","priority":100}}} => process.scheduler.priority: must be from 1 to 99 for SCHED_RR
    any {"process":{"scheduler":{"policy":"SCHED_BATCH","runtime":5000}}} => process.scheduler.runtime: SCHED_BATCH has none: SCHED_DEADLINE has
    any {"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":5,"deadline":9}}} => process.scheduler.runtime: must be 1024 nanoseconds at least for SCHED_DEADLINE
    any {"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":5000,"deadline":4000}}} => process.scheduler.deadline: is less than the runtime
    any {"process":{"scheduler":{"policy":"SCHED_DEADLINE","runtime":5000,"deadline":6000,"period":5500}}} => process.scheduler.period: is less than the deadline
    any {"process":{"scheduler":{"policy":"SCHED_OTHER","flags":["SCHED_FLAG_X"]}}} => process.scheduler.flags[0]: "SCHED_FLAG_X" is not one of SCHED_FLAG_RESET_ON_FORK, SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_FLAG_UTIL_CLAMP_MAX
    any {"process":{"execCPUAffinity":{"initial":"0-"}}} => process.execCPUAffinity.initial: "0-" is not a list of CPUs like 0-3,7
    any {"process":{"execCPUAffinity":{"final":"4096"}}} => process.execCPUAffinity.final: "4096" is not a list of CPUs like 0-3,7
    any {"process":{"execCPUAffinity":{"final":0}}} => process.execCPUAffinity.final: expected a string, found a number
    microvm {"process":{"selinuxLabel":"x"}} => process.selinuxLabel: the guest's kernel has no SELinux (engines: --security-opt label=disable)
    # mounts
    any {"mounts":{}} => mounts: expected an array, found an object
    any {"mounts":[1]} => mounts[0]: expected an object, found a number
    any {"mounts":[{"type":"tmpfs"}]} => mounts[0].destination: is missing
    any {"mounts":[{"destination":"","type":"tmpfs"}]} => mounts[0].destination: is empty
    any {"mounts":[{"destination":"/x"}]} => mounts[0].type: is missing, and the mount is no bind mount
    any {"mounts":[{"destination":"/x","type":"bind"}]} => mounts[0].source: a bind mount needs a source
    any {"mounts":[{"destination":"/x","options":["rbind"]}]} => mounts[0].source: a bind mount needs a source
    any {"mounts":[{"destination":"/a\u0000b","type":"tmpfs"}]} => mounts[0].destination: contains a NUL byte
    any {"mounts":[{"destination":"/<4095>","type":"tmpfs"}]} => mounts[0].destination: is longer than 4095 bytes
    any {"mounts":[{"destination":"/x","type":"bind","source":"/a\u0000b"}]} => mounts[0].source: contains a NUL byte
    any {"mounts":[{"destination":"/x","type":"tm\u0000pfs"}]} => mounts[0].type: contains a NUL byte
    any {"mounts":[{"destination":"/x","type":"tmpfs","options":"ro"}]} => mounts[0].options: expected an array, found a string
    any {"mounts":[{"destination":"/x","type":"tmpfs","options":["ro","a\u0000b"]}]} => mounts[0].options[1]: contains a NUL byte
    any {"mounts":[{"destination":"/x","type":"bind","source":"/","uidMappings":[{"containerID":0,"hostID":0,"size":1}]}]} => mounts[0].uidMappings: uidMappings and gidMappings go together
    any {"mounts":[{"destination":"/x","type":"bind","source":"/","uidMappings":[{"containerID":0,"hostID":0,"size":0}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}]} => mounts[0].uidMappings[0].size: is 0
    any {"mounts":[{"destination":"/x","type":"bind","source":"/","options":["idmap"]}]} => mounts[0].options: an id-mapped mount needs uidMappings and gidMappings, its own or the container's
    any {"mounts":[{"destination":"/x","type":"tmpfs","uidMappings":[{"containerID":0,"hostID":0,"size":1}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}]} => mounts[0].uidMappings: only bind mounts can be id-mapped
    any {"mounts":[{"destination":"/x","type":"bind","source":"/","options":["remount"],"uidMappings":[{"containerID":0,"hostID":0,"size":1}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}]} => mounts[0].options: a remount cannot be id-mapped
    microvm {"mounts":[{"destination":"/x","type":"bind","source":"/","uidMappings":[{"containerID":0,"hostID":0,"size":1}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}]} => mounts[0].uidMappings: the guest's kernel cannot map the owners of files that the host shares with it (virtio-fs)
    microvm {"mounts":[{"destination":"/x","type":"bind","source":"/","options":["rbind","rshared"]}]} => mounts[0].options: `rshared`: a machine cannot share mounts with the host
    microvm {"mounts":[{"destination":"/x","type":"bind","source":"/nonexistent"}]} => mounts[0].source: invalid mount source /nonexistent: no such file or directory
    microvm {"mounts":[{"destination":"/x","type":"bind","source":"/dev/null"}]} => mounts[0].source: invalid mount source /dev/null: a character device of the host cannot be reached from a machine, which has a kernel of its own; directories and regular files can
    # hooks
    any {"hooks":[]} => hooks: expected an object, found an array
    any {"hooks":{"prestart":{}}} => hooks.prestart: expected an array, found an object
    any {"hooks":{"prestart":[{"args":["x"]}]}} => hooks.prestart[0].path: is missing
    any {"hooks":{"createRuntime":[{"path":"x"}]}} => hooks.createRuntime[0].path: "x" is not absolute
    any {"hooks":{"createContainer":[{"path":""}]}} => hooks.createContainer[0].path: "" is not absolute
    any {"hooks":{"startContainer":[{"path":"/x\u0000"}]}} => hooks.startContainer[0].path: contains a NUL byte
    any {"hooks":{"poststart":[{"path":"/x","timeout":0}]}} => hooks.poststart[0].timeout: must be greater than 0
    any {"hooks":{"poststop":[{"path":"/x"},{"path":"/x","timeout":-3}]}} => hooks.poststop[1].timeout: must be greater than 0
    any {"hooks":{"poststop":[{"path":"/x","timeout":"5"}]}} => hooks.poststop[0].timeout: expected an integer, found a string
    any {"hooks":{"prestart":[{"path":"/x","args":["a\u0000"]}]}} => hooks.prestart[0].args[0]: contains a NUL byte
    any {"hooks":{"prestart":[{"path":"/x","env":["A"]}]}} => hooks.prestart[0].env[0]: "A" is not of the form NAME=VALUE
    # linux
    any {"linux":[]} => linux: expected an object, found an array
    any {"linux":{"namespaces":[{"path":"/x"}]}} => linux.namespaces[0].type: is missing
    any {"linux":{"namespaces":[{"type":"net"}]}} => linux.namespaces[0].type: "net" is not one of pid, network, mount, ipc, uts, user, cgroup, time
    any {"linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}} => linux.namespaces[1]: the pid namespace occurs twice
    any {"linux":{"namespaces":[{"type":"pid","path":"proc/1/ns/pid"}]}} => linux.namespaces[0].path: "proc/1/ns/pid" is not absolute
    any {"linux":{"namespaces":[{"type":"pid","path":"/a\u0000b"}]}} => linux.namespaces[0].path: contains a NUL byte
    any {"linux":{"namespaces":[{"type":"pid","path":["/x"]}]}} => linux.namespaces[0].path: expected a string, found an array
    any {"linux":{"uidMappings":[{"containerID":0,"hostID":0,"size":1}]}} => linux.uidMappings: need a user namespace in linux.namespaces
    any {"linux":{"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}} => linux.gidMappings: need a user namespace in linux.namespaces
    any {"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"network"}]}} => linux.uidMappings: is missing: a new user namespace has no users without; linux.gidMappings: is missing: a new user namespace has no groups without
    any {"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"network"}],"uidMappings":[{"hostID":0,"size":1}]}} => linux.uidMappings[0].containerID: is missing
    any {"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"network"}],"uidMappings":[{"containerID":0,"hostID":0,"size":0}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}} => linux.uidMappings[0].size: is 0
    any {"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"network"}],"uidMappings":[{"containerID":0,"hostID":4294967290,"size":10}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}} => linux.uidMappings[0].hostID: the range ends beyond 4294967294
    any {"linux":{"namespaces":[{"type":"user"},{"type":"mount"},{"type":"network"}],"uidMappings":[{"containerID":0,"hostID":0,"size":1}],"gidMappings":[{"containerID":0,"hostID":0,"size":10},{"containerID":9,"hostID":50,"size":1}]}} => linux.gidMappings[1].containerID: the range overlaps that of [0]
    any {"linux":{"timeOffsets":{"monotonic":{}}}} => linux.timeOffsets: need a time namespace in linux.namespaces
    any {"linux":{"namespaces":[{"type":"time"},{"type":"mount"},{"type":"network"}],"timeOffsets":{"realtime":{"secs":1}}}} => linux.timeOffsets.realtime: is not a clock that can be offset: monotonic and boottime are
    any {"linux":{"namespaces":[{"type":"time"},{"type":"mount"},{"type":"network"}],"timeOffsets":{"monotonic":{"nanosecs":1000000000}}}} => linux.timeOffsets.monotonic.nanosecs: must be from 0 to 999999999
    any {"linux":{"devices":{}}} => linux.devices: expected an array, found an object
    any {"linux":{"devices":[{"path":"/dev/x","type":"c","minor":1}]}} => linux.devices[0].major: is missing
    any {"linux":{"devices":[{"path":"/dev/x","type":"c","major":1}]}} => linux.devices[0].minor: is missing
    any {"linux":{"devices":[{"type":"c","major":1,"minor":1}]}} => linux.devices[0].path: is missing
    any {"linux":{"devices":[{"path":"/dev/x","type":"q","major":1,"minor":1}]}} => linux.devices[0].type: "q" is not one of c, b, u, p
    any {"linux":{"devices":[{"path":"dev/x","type":"c","major":1,"minor":1}]}} => linux.devices[0].path: "dev/x" is not absolute
    any {"linux":{"devices":[{"path":"/dev/x","type":"c","major":-1,"minor":1}]}} => linux.devices[0].major: must be from 0 to 4095
    any {"linux":{"devices":[{"path":"/dev/x","type":"b","major":4096,"minor":1}]}} => linux.devices[0].major: must be from 0 to 4095
    any {"linux":{"devices":[{"path":"/dev/x","type":"b","major":8,"minor":1048576}]}} => linux.devices[0].minor: must be from 0 to 1048575
    any {"linux":{"devices":[{"path":"/dev/x","type":"p","fileMode":-1}]}} => linux.devices[0].fileMode: -1 is not from 0 to 4294967295
    any {"linux":{"devices":[{"path":"/dev/x","type":"p","uid":4294967295}]}} => linux.devices[0].uid: must be from 0 to 4294967294
    any {"linux":{"devices":[{"path":"/dev/x","type":"c","major":1,"minor":3},{"path":"/dev/x","type":"c","major":1,"minor":5}]}} => linux.devices[1].path: "/dev/x" is given twice, as different devices
    any {"linux":{"cgroupsPath":7}} => linux.cgroupsPath: expected a string, found a number
    any {"linux":{"cgroupsPath":"/a/../../b"}} => linux.cgroupsPath: must not contain `..`
    any {"linux":{"cgroupsPath":"/a\u0000b"}} => linux.cgroupsPath: contains a NUL byte
    namespace {"linux":{"cgroupsPath":"system.slice:nacelle:x"}} => cgroup: linux.cgroupsPath "system.slice:nacelle:x" is for systemd's cgroup driver: use it (--systemd-cgroup), or the cgroupfs driver (podman --cgroup-manager=cgroupfs, dockerd --exec-opt native.cgroupdriver=cgroupfs)
    any {"linux":{"rootfsPropagation":"sharde"}} => linux.rootfsPropagation: "sharde" is not one of shared, slave, private, unbindable, rshared, rslave, rprivate, runbindable
    any {"linux":{"rootfsPropagation":7}} => linux.rootfsPropagation: expected a string, found a number
    any {"linux":{"maskedPaths":["proc/kcore"]}} => linux.maskedPaths[0]: "proc/kcore" is not absolute
    any {"linux":{"maskedPaths":"/proc/kcore"}} => linux.maskedPaths: expected an array, found a string
    any {"linux":{"maskedPaths":["/a\u0000b"]}} => linux.maskedPaths[0]: contains a NUL byte
    any {"linux":{"readonlyPaths":["/a","b"]}} => linux.readonlyPaths[1]: "b" is not absolute
    any {"linux":{"readonlyPaths":["/<4095>"]}} => linux.readonlyPaths[0]: is longer than 4095 bytes
    any {"linux":{"sysctl":{"kernel.panic":"1"}}} => linux.sysctl.kernel.panic: is not in a separate kernel namespace
    any {"linux":{"sysctl":{"kernel.hostname":"x"}}} => linux.sysctl.kernel.hostname: is set by `hostname`
    any {"linux":{"namespaces":[{"type":"mount"},{"type":"network"}],"sysctl":{"kernel.shmmax":"1"}}} => linux.sysctl.kernel.shmmax: needs an ipc namespace in linux.namespaces
    any {"linux":{"namespaces":[{"type":"mount"},{"type":"network"}],"sysctl":{"fs.mqueue.msg_max":"1"}}} => linux.sysctl.fs.mqueue.msg_max: needs an ipc namespace in linux.namespaces
    any {"linux":{"namespaces":[{"type":"mount"},{"type":"ipc"}],"sysctl":{"net.ipv4.ip_forward":"1"}}} => linux.sysctl.net.ipv4.ip_forward: needs a network namespace in linux.namespaces
    any {"linux":{"namespaces":[{"type":"mount"},{"type":"network"}],"sysctl":{"kernel.domainname":"1"}}} => linux.sysctl.kernel.domainname: needs a uts namespace in linux.namespaces
    any {"linux":{"sysctl":{"net..ip_forward":"1"}}} => linux.sysctl["net..ip_forward"]: is malformed
    any {"linux":{"sysctl":{"net/../kernel/panic":"1"}}} => linux.sysctl["net/../kernel/panic"]: is malformed
    any {"linux":{"sysctl":{"":"1"}}} => linux.sysctl[""]: is malformed
    any {"linux":{"sysctl":{"net.ipv4.ip_forward":1}}} => linux.sysctl.net.ipv4.ip_forward: expected a string, found a number
    any {"linux":{"sysctl":{"net.ipv4.ip_forward":"1\u0000"}}} => linux.sysctl.net.ipv4.ip_forward: contains a NUL byte
    any {"linux":{"sysctl":{"net.ipv4.ip_forward":"1","net/ipv4/ip_forward":"0"}}} => linux.sysctl.net/ipv4/ip_forward: is given twice, with dots and with slashes
    any {"linux":{"personality":{}}} => linux.personality.domain: is missing
    any {"linux":{"personality":{"domain":"BSD"}}} => linux.personality.domain: "BSD" is not one of LINUX, LINUX32
    any {"linux":{"personality":{"domain":"LINUX","flags":["ADDR_NO_RANDOMIZE"]}}} => linux.personality.flags: the specification has none: leave them out
    any {"linux":{"personality":{"domain":"LINUX","flags":"x"}}} => linux.personality.flags: expected an array, found a string
    any {"linux":{"intelRdt":{"schemata":"L3:0=f"}}} => linux.intelRdt.schemata: expected an array, found a string
    any {"linux":{"memoryPolicy":{}}} => linux.memoryPolicy.mode: is missing
    any {"linux":{"netDevices":{"eth0":{"name":5}}}} => linux.netDevices.eth0.name: expected a string, found a number
    microvm {"linux":{"netDevices":{"eth0":{}}}} => linux.netDevices: a network device of the host cannot be moved into a machine: it has a kernel of its own
    any {"linux":{"netDevices":{"eth0":{"name":"a/b"}}}} => linux.netDevices.eth0.name: "a/b" is not a name for a network device
    any {"linux":{"netDevices":{"<16>":{}}}} => linux.netDevices.<16>: is not the name of a network device
    any {"linux":{"netDevices":{"a b":{}}}} => linux.netDevices["a b"]: is not the name of a network device
    any {"linux":{"namespaces":[{"type":"mount"}],"netDevices":{"eth0":{}}}} => linux.netDevices: need a network namespace in linux.namespaces
    microvm {"linux":{"mountLabel":"x"}} => linux.mountLabel: the guest's kernel has no SELinux
    any {"linux":{"mountLabel":"a\u0000b"}} => linux.mountLabel: contains a NUL byte
    any {"linux":{"intelRdt":{"closID":"a/b"}}} => linux.intelRdt.closID: "a/b" is not the name of a directory, and not "/"
    any {"linux":{"intelRdt":{"memBwSchema":"L3:0=f"}}} => linux.intelRdt.memBwSchema: must start with MB:
    any {"linux":{"intelRdt":{"schemata":["L3:0=f","a\nb"]}}} => linux.intelRdt.schemata[1]: must be one line
    any {"linux":{"memoryPolicy":{"mode":"MPOL_BIND"}}} => linux.memoryPolicy.nodes: MPOL_BIND needs at least one node
    any {"linux":{"memoryPolicy":{"mode":"MPOL_DEFAULT","nodes":"0"}}} => linux.memoryPolicy.nodes: must be empty with MPOL_DEFAULT
    any {"linux":{"memoryPolicy":{"mode":"MPOL_INTERLEAVE","nodes":"all"}}} => linux.memoryPolicy.nodes: "all" is not a list of nodes like 0-3,7
    microvm {"linux":{"namespaces":[{"type":"mount"}]}} => linux.namespaces: no network namespace is listed, which asks for the host's network, and a machine cannot have that: list one without a path (engines: --network none)
    microvm {"linux":{"namespaces":[{"type":"mount"},{"type":"network","path":"/proc/1/ns/net"}]}} => linux.namespaces[1].path: joining a network namespace is not supported yet: leave the path out for a network of its own
    microvm {"linux":{"namespaces":[{"type":"mount"},{"type":"network"},{"type":"ipc","path":"/proc/1/ns/ipc"}]}} => linux.namespaces[2].path: a machine cannot join a namespace of the host (ipc)
    namespace {"linux":null} => linux.namespaces: no mount namespace is listed, and without one the mounts would be the host's: add {"type": "mount"}
    namespace {"linux":{"namespaces":[{"type":"pid"}]}} => linux.namespaces: no mount namespace is listed, and without one the mounts would be the host's: add {"type": "mount"}
    namespace {"linux":{"namespaces":[{"type":"mount","path":"/proc/self/ns/uts"}]}} => linux.namespaces[0].path: /proc/self/ns/uts is no mount namespace: its kind is uts
    namespace {"linux":{"namespaces":[{"type":"mount"},{"type":"ipc","path":"/dev/null"}]}} => linux.namespaces[1].path: no namespace /dev/null: inappropriate ioctl for device
    namespace {"hostname":"h","linux":{"namespaces":[{"type":"mount"},{"type":"uts","path":"/proc/self/ns/uts"}]}} => hostname: would change the host: linux.namespaces[1].path is this host's own uts namespace
    namespace {"linux":{"namespaces":[{"type":"mount"},{"type":"network","path":"/proc/self/ns/net"}],"sysctl":{"net.ipv4.ip_forward":"1"}}} => linux.sysctl.net.ipv4.ip_forward: would change the host: linux.namespaces[1].path is this host's own network namespace
    # linux.seccomp
    any {"linux":{"seccomp":{}}} => linux.seccomp.defaultAction: is missing
    any {"linux":{"seccomp":{"defaultAction":"ALLOW"}}} => linux.seccomp.defaultAction: "ALLOW" is not one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG, SCMP_ACT_NOTIFY
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}}} => linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW returns no errno
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}}} => linux.seccomp.defaultErrnoRet: must be from 0 to 4095
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_VAX"]}}} => linux.seccomp.architectures[0]: "SCMP_ARCH_VAX" is not one of SCMP_ARCH_X86, SCMP_ARCH_X86_64, SCMP_ARCH_X32, SCMP_ARCH_ARM, SCMP_ARCH_AARCH64, SCMP_ARCH_MIPS, SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS64N32, SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32, SCMP_ARCH_PPC, SCMP_ARCH_PPC64, SCMP_ARCH_PPC64LE, SCMP_ARCH_S390, SCMP_ARCH_S390X, SCMP_ARCH_PARISC, SCMP_ARCH_PARISC64, SCMP_ARCH_RISCV64, SCMP_ARCH_LOONGARCH64, SCMP_ARCH_M68K, SCMP_ARCH_SH, SCMP_ARCH_SHEB
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}}} => linux.seccomp.flags[0]: "X" is not one of SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ERRNO"}]}}} => linux.seccomp.syscalls[0].names: must not be empty
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"]}]}}} => linux.seccomp.syscalls[0].action: is missing
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read",""],"action":"SCMP_ACT_ERRNO"}]}}} => linux.seccomp.syscalls[0].names[1]: is empty
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["re\u0000ad"],"action":"SCMP_ACT_ERRNO"}]}}} => linux.seccomp.syscalls[0].names[0]: contains a NUL byte
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","errnoRet":1}]}}} => linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL returns no errno
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_TRACE","errnoRet":65536}]}}} => linux.seccomp.syscalls[0].errnoRet: must be from 0 to 65535
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}}} => linux.seccomp.syscalls[0].args[0].index: must be from 0 to 5
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":-1,"op":"SCMP_CMP_EQ"}]}]}}} => linux.seccomp.syscalls[0].args[0].value: -1 is not from 0 to 18446744073709551615
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":0,"op":"=="}]}]}}} => linux.seccomp.syscalls[0].args[0].op: "==" is not one of SCMP_CMP_NE, SCMP_CMP_LT, SCMP_CMP_LE, SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_MASKED_EQ
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":0}]}]}}} => linux.seccomp.syscalls[0].args[0].op: is missing
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/x"}}} => linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default action
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}}} => linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs the path of an agent's socket
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"x","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}}} => linux.seccomp.listenerPath: "x" is not absolute
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["read","write"],"action":"SCMP_ACT_NOTIFY"}]}}} => linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY cannot be used for the write syscall
    microvm {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}}} => linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY: the listener belongs to the guest's kernel and cannot be handed to an agent on the host
    any {"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"}}} => linux.seccomp.listenerMetadata: needs listenerPath
    # linux.resources
    any {"linux":{"resources":[]}} => linux.resources: expected an object, found an array
    any {"linux":{"resources":{"devices":[{"access":"rwm"}]}}} => linux.resources.devices[0].allow: is missing
    any {"linux":{"resources":{"devices":[{"allow":"yes"}]}}} => linux.resources.devices[0].allow: expected a boolean, found a string
    any {"linux":{"resources":{"devices":[{"allow":true,"type":"z"}]}}} => linux.resources.devices[0].type: "z" is not a (all), b or c
    any {"linux":{"resources":{"devices":[{"allow":true,"access":"rx"}]}}} => linux.resources.devices[0].access: "rx" has other letters than r, w and m
    any {"linux":{"resources":{"devices":[{"allow":true,"type":"c","major":-2}]}}} => linux.resources.devices[0].major: must be -1, for all, or from 0 to 4294967295
    any {"linux":{"resources":{"devices":[{"allow":true,"type":"c","minor":4294967296}]}}} => linux.resources.devices[0].minor: must be -1, for all, or from 0 to 4294967295
    any {"linux":{"resources":{"memory":{"limit":"1G"}}}} => linux.resources.memory.limit: expected an integer, found a string
    any {"linux":{"resources":{"memory":{"limit":-2}}}} => linux.resources.memory.limit: must be -1, for no limit, or a number of bytes
    any {"linux":{"resources":{"memory":{"limit":1.5}}}} => linux.resources.memory.limit: expected an integer, found 1.5
    any {"linux":{"resources":{"memory":{"reservation":9223372036854775808}}}} => linux.resources.memory.reservation: 9223372036854775808 is not from -9223372036854775808 to 9223372036854775807
    any {"linux":{"resources":{"memory":{"swap":100000000}}}} => linux.resources.memory.swap: is memory and swap together, so it needs memory.limit
    any {"linux":{"resources":{"memory":{"limit":100000000,"swap":99999999}}}} => linux.resources.memory.swap: is memory and swap together, so it cannot be less than memory.limit
    any {"linux":{"resources":{"memory":{"swappiness":101}}}} => linux.resources.memory.swappiness: must be from 0 to 100
    any {"linux":{"resources":{"memory":{"disableOOMKiller":1}}}} => linux.resources.memory.disableOOMKiller: expected a boolean, found a number
    any {"linux":{"resources":{"cpu":{"shares":-1}}}} => linux.resources.cpu.shares: -1 is not from 0 to 18446744073709551615
    any {"linux":{"resources":{"cpu":{"quota":999}}}} => linux.resources.cpu.quota: must be -1, for no limit, or 1000 microseconds at least
    any {"linux":{"resources":{"cpu":{"quota":-2}}}} => linux.resources.cpu.quota: must be -1, for no limit, or 1000 microseconds at least
    any {"linux":{"resources":{"cpu":{"period":999}}}} => linux.resources.cpu.period: must be from 1000 to 1000000 microseconds
    any {"linux":{"resources":{"cpu":{"period":1000001}}}} => linux.resources.cpu.period: must be from 1000 to 1000000 microseconds
    any {"linux":{"resources":{"cpu":{"quota":50000,"burst":50001}}}} => linux.resources.cpu.burst: is greater than cpu.quota
    any {"linux":{"resources":{"cpu":{"realtimeRuntime":2000,"realtimePeriod":1000}}}} => linux.resources.cpu.realtimeRuntime: is greater than cpu.realtimePeriod
    any {"linux":{"resources":{"cpu":{"cpus":"0-"}}}} => linux.resources.cpu.cpus: "0-" is not a list like 0-3,5
    any {"linux":{"resources":{"cpu":{"cpus":"3-1"}}}} => linux.resources.cpu.cpus: "3-1" is not a list like 0-3,5
    any {"linux":{"resources":{"cpu":{"mems":"all"}}}} => linux.resources.cpu.mems: "all" is not a list like 0-3,5
    any {"linux":{"resources":{"cpu":{"idle":2}}}} => linux.resources.cpu.idle: must be 0 or 1
    any {"linux":{"resources":{"pids":{"limit":"10"}}}} => linux.resources.pids.limit: expected an integer, found a string
    any {"linux":{"resources":{"blockIO":{"weight":9}}}} => linux.resources.blockIO.weight: must be from 10 to 1000
    any {"linux":{"resources":{"blockIO":{"weight":1001}}}} => linux.resources.blockIO.weight: must be from 10 to 1000
    any {"linux":{"resources":{"blockIO":{"leafWeight":70000}}}} => linux.resources.blockIO.leafWeight: 70000 is not from 0 to 65535
    any {"linux":{"resources":{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}}} => linux.resources.blockIO.weightDevice[0]: needs weight or leafWeight
    any {"linux":{"resources":{"blockIO":{"weightDevice":[{"minor":0,"weight":10}]}}}} => linux.resources.blockIO.weightDevice[0].major: is missing
    any {"linux":{"resources":{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0}]}}}} => linux.resources.blockIO.throttleReadBpsDevice[0].rate: is missing
    any {"linux":{"resources":{"blockIO":{"throttleWriteIOPSDevice":[{"major":-1,"minor":0,"rate":1}]}}}} => linux.resources.blockIO.throttleWriteIOPSDevice[0].major: must be from 0 to 4294967295
    any {"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MiB","limit":1}]}}} => linux.resources.hugepageLimits[0].pageSize: "2MiB" is not a page size like 2MB: a number and KB, MB or GB are expected
    any {"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB","limit":1},{"pageSize":"2MB","limit":2}]}}} => linux.resources.hugepageLimits[1].pageSize: "2MB" occurs twice
    any {"linux":{"resources":{"hugepageLimits":[{"pageSize":"2MB"}]}}} => linux.resources.hugepageLimits[0].limit: is missing
    any {"linux":{"resources":{"network":{"classID":-1}}}} => linux.resources.network.classID: -1 is not from 0 to 4294967295
    any {"linux":{"resources":{"network":{"priorities":[{"name":"","priority":1}]}}}} => linux.resources.network.priorities[0].name: is empty
    any {"linux":{"resources":{"network":{"priorities":[{"priority":1}]}}}} => linux.resources.network.priorities[0].name: is missing
    any {"linux":{"resources":{"rdma":{"mlx5_1":{}}}}} => linux.resources.rdma.mlx5_1: needs hcaHandles or hcaObjects
    any {"linux":{"resources":{"rdma":{"a b":{"hcaHandles":1}}}}} => linux.resources.rdma["a b"]: is not the name of a device
    any {"linux":{"resources":{"unified":{"../memory.max":"1"}}}} => linux.resources.unified["../memory.max"]: is not the name of a cgroup v2 file, as memory.high is
    any {"linux":{"resources":{"unified":{"memory":"1"}}}} => linux.resources.unified.memory: is not the name of a cgroup v2 file, as memory.high is
    any {"linux":{"resources":{"unified":{"memory.max":1}}}} => linux.resources.unified.memory.max: expected a string, found a number
    any {"linux":{"resources":{"unified":{"memory.max":"1\u0000"}}}} => linux.resources.unified.memory.max: contains a NUL byte
    microvm {"linux":{"resources":{"network":{"classID":5}}}} => linux.resources.network.classID: the guest has cgroup v2, which has no net_cls controller
    microvm {"linux":{"resources":{"network":{"priorities":[{"name":"lo","priority":1}]}}}} => linux.resources.network.priorities: the guest has cgroup v2, which has no net_prio controller
    # vm
    any {"vm":[]} => vm: expected an object, found an array
    any {"vm":{"kernel":{}}} => vm.kernel.path: is missing
    any {"vm":{"kernel":{"path":"vmlinux"}}} => vm.kernel.path: "vmlinux" is not absolute
    any {"vm":{"kernel":{"path":"/k","parameters":"quiet"}}} => vm.kernel.parameters: expected an array, found a string
    any {"vm":{"kernel":{"path":"/k","parameters":["a\nshare.0=x"]}}} => vm.kernel.parameters[0]: must be one line
    any {"vm":{"hypervisor":{"path":"qemu"}}} => vm.hypervisor.path: "qemu" is not absolute
    any {"vm":{"image":{"path":"/i","format":"iso"}}} => vm.image.format: "iso" is not one of raw, qcow2, vdi, vmdk, vhd
    any {"vm":{"image":{"path":"/i"}}} => vm.image.format: is missing
    any {"vm":{"hwConfig":{"vcpus":0}}} => vm.hwConfig.vcpus: is 0
    any {"vm":{"hwConfig":{"vcpus":"2"}}} => vm.hwConfig.vcpus: expected an integer, found a string
    any {"vm":{"hwConfig":{"memory":-1}}} => vm.hwConfig.memory: -1 is not from 0 to 18446744073709551615
    microvm {"vm":{"hwConfig":{"vcpus":65}}} => vm.hwConfig.vcpus: 65 vCPUs are not possible: 1 to 64 are
    microvm {"vm":{"hwConfig":{"memory":1000000}}} => vm.hwConfig.memory: a machine's memory of 1 MiB is too small: a guest needs 64 MiB at least
    microvm {"vm":{"hypervisor":{"path":"/q"}}} => vm.hypervisor: the machine monitor is Nacelle's own; leave this out
    microvm {"vm":{"image":{"path":"/i","format":"raw"}}} => vm.image: is not supported: the container's root is root.path
    microvm {"vm":{"kernel":{"path":"/k","initrd":"/i"}}} => vm.kernel.initrd: is not supported: the guest's root image takes its place
    microvm {"vm":{"hwConfig":{"deviceTree":"/d"}}} => vm.hwConfig.deviceTree: is not supported: the machine's device tree is made for it
    microvm {"vm":{"hwConfig":{"dtdevs":["x"]}}} => vm.hwConfig.dtdevs: the host's devices cannot be passed through
    microvm {"vm":{"hwConfig":{"iomems":[{"firstMFN":0,"nrMFNs":1}]}}} => vm.hwConfig.iomems: the host's I/O memory cannot be passed through
    microvm {"vm":{"hwConfig":{"irqs":[7]}}} => vm.hwConfig.irqs: the host's interrupts cannot be passed through
    any {"vm":{"hwConfig":{"iomems":[{"firstMFN":0}]}}} => vm.hwConfig.iomems[0].nrMFNs: is missing
    microvm {"vm":{"kernel":{"path":"/k","parameters":["quiet","a=\"b"]}}} => vm.kernel.parameters[1]: is empty, or has a character that a kernel's command line cannot hold (a quote, a newline, NUL)
    namespace {"vm":{}} => vm: there is no machine in namespace isolation
    # annotations
    microvm {"annotations":{"dev.nacelle.memory":"much"}} => annotations.dev.nacelle.memory: "much" is not a size: MiB are expected, or a number with M or G
    microvm {"annotations":{"dev.nacelle.memory":"20"}} => annotations.dev.nacelle.memory: a machine's memory of 20 MiB is too small: a guest needs 64 MiB at least
    microvm {"annotations":{"dev.nacelle.vcpus":"0"}} => annotations.dev.nacelle.vcpus: "0" is not a number from 1 to 64
    microvm {"annotations":{"dev.nacelle.vcpus":"two"}} => annotations.dev.nacelle.vcpus: "two" is not a number from 1 to 64
    microvm {"annotations":{"dev.nacelle.boot_timeout":"86401"}} => annotations.dev.nacelle.boot_timeout: "86401" is not a number from 1 to 86400
    microvm {"annotations":{"dev.nacelle.cmdline":"a\nshare.0=x"}} => annotations.dev.nacelle.cmdline: must be one line without NUL bytes
    microvm {"annotations":{"dev.nacelle.console":"/c\nimage=/x"}} => annotations.dev.nacelle.console: must be one line without NUL bytes
    microvm {"annotations":{"dev.nacelle.kernel":"/k\u0000"}} => annotations.dev.nacelle.kernel: must be one line without NUL bytes
    microvm {"annotations":{"dev.nacelle.memroy":"512"}} => annotations.dev.nacelle.memroy: there is no such setting; there are dev.nacelle.memory, dev.nacelle.vcpus, dev.nacelle.kernel, dev.nacelle.cmdline, dev.nacelle.console, dev.nacelle.boot_timeout, dev.nacelle.trace, dev.nacelle.isolation
    namespace {"annotations":{"dev.nacelle.memory":"512"}} => annotations.dev.nacelle.memory: there is no machine in namespace isolation
    any {"annotations":{"dev.nacelle.isolation":"gvisor"}} => annotations.dev.nacelle.isolation: "gvisor" is no isolation: there are microvm, namespace and auto
    namespace {"annotations":{"dev.nacelle.isolation":"microvm"}} => annotations.dev.nacelle.isolation: asks for microvm, and --isolation for namespace
    # several at once
    any {"root":{"path":""},"process":{"args":[],"cwd":"x"},"mounts":[{"destination":""}]} => root.path: is empty; process.args: must not be empty; process.cwd: "x" is not an absolute path; mounts[0].destination: is empty; mounts[0].type: is missing, and the mount is no bind mount
    """# + (AppArmor.isEnabled ? #"""

    # a host with AppArmor
    namespace {"process":{"apparmorProfile":"no such"}} => process.apparmorProfile: unable to apply apparmor profile "no such": it is not loaded on this host (apparmor_parser loads profiles)
    microvm {"process":{"apparmorProfile":"no such"}} => process.apparmorProfile: unable to apply apparmor profile "no such": it is not loaded on this host (apparmor_parser loads profiles)
    microvm {"process":{"apparmorProfile":"unconfined\nshare.0=x:6:rw"}} => process.apparmorProfile: must be one line without NUL bytes
    """# : #"""

    # a host without
    namespace {"process":{"apparmorProfile":"x"}} => process.apparmorProfile: apparmor: config provided but apparmor not supported
    namespace {"process":{"apparmorProfile":"unconfined"}} => process.apparmorProfile: apparmor: config provided but apparmor not supported
    microvm {"process":{"apparmorProfile":"x"}} => process.apparmorProfile: apparmor: config provided but apparmor not supported
    """#)
