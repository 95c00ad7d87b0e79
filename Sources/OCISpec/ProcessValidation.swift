internal import JSONText

extension ProcessSpec {
    /// What is wrong with users, environment and scheduling.
    func fieldProblems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        list.path(cwd, "cwd")
        list.clean(args, "args")
        list.environment(env, "env")
        list.clean(apparmorProfile, "apparmorProfile")
        list.clean(selinuxLabel, "selinuxLabel")
        list.identifier(user.uid, "user.uid")
        list.identifier(user.gid, "user.gid")
        for (index, group) in user.additionalGids.enumerated() { list.identifier(group, "user.additionalGids[\(index)]") }
        if let scheduler { list.append(scheduler.problems(path: "\(path).scheduler")) }
        return list.problems
    }
}

extension SchedulerSpec {
    /// sched_setattr(2), "EINVAL"
    fileprivate func problems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        list.check((-20...19).contains(nice), "nice", "must be from -20 to 19")
        switch policy {
        case .fifo, .roundRobin: list.check((1...99).contains(priority), "priority", "must be from 1 to 99 for \(policy.rawValue)")
        default: list.check(priority == 0, "priority", "\(policy.rawValue) has none: SCHED_FIFO and SCHED_RR have")
        }
        let times = [("runtime", runtime), ("deadline", deadline), ("period", period)]
        if policy != .deadline {
            for (name, value) in times { list.check(value == 0, name, "\(policy.rawValue) has none: SCHED_DEADLINE has") }
        } else {
            list.check(runtime >= 1024, "runtime", "must be 1024 nanoseconds at least for SCHED_DEADLINE")
            list.check(runtime <= deadline, "deadline", "is less than the runtime")
            list.check(period == 0 || deadline <= period, "period", "is less than the deadline")
            for (name, value) in times { list.check(value < 1 << 63, name, "must be less than 2^63 nanoseconds") }
        }
        return list.problems
    }
}

extension MountSpec {
    func fieldProblems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        list.path(destination, "destination")
        list.path(source, "source")
        list.clean(type, "type")
        list.clean(options, "options")
        list.mappings(uidMappings, "uidMappings")
        list.mappings(gidMappings, "gidMappings")
        return list.problems
    }
}

extension HookSpec {
    func fieldProblems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        list.path(self.path, "path")
        list.clean(args, "args")
        list.environment(env, "env")
        return list.problems
    }
}

extension VMSpec {
    /// config-vm.md: every path is absolute.
    func problems() -> [ConfigurationError.Problem] {
        var list = ProblemList(path: "vm")
        let paths = [
            ("hypervisor.path", hypervisor?.path), ("kernel.path", kernel?.path), ("kernel.initrd", kernel?.initrd), ("image.path", image?.path),
            ("hwConfig.deviceTree", hwConfig?.deviceTree),
        ]
        for (field, path) in paths {
            list.path(path, field)
            if let path { list.check(path.hasPrefix("/"), field, "\(quoted(path)) is not absolute") }
        }
        list.clean(hypervisor?.parameters ?? [], "hypervisor.parameters")
        list.clean(kernel?.parameters ?? [], "kernel.parameters")
        for (index, word) in (kernel?.parameters ?? []).enumerated() { list.check(!word.contains(where: \.isNewline), "kernel.parameters[\(index)]", "must be one line") }
        let formats = ["raw", "qcow2", "vdi", "vmdk", "vhd"]
        if let format = image?.format { list.check(formats.contains(format), "image.format", "\(quoted(format)) is not one of \(formats.joined(separator: ", "))") }
        if let vcpus = hwConfig?.vcpus { list.check(vcpus > 0, "hwConfig.vcpus", "is 0") }
        return list.problems
    }
}

extension RootSpec {
    func problems() -> [ConfigurationError.Problem] {
        var list = ProblemList(path: "root")
        list.path(path, "path")
        return list.problems
    }
}
