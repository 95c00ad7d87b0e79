internal import JSONText

extension SeccompSpec {
    func problems(path: String) -> [ConfigurationError.Problem] {
        var list = ProblemList(path: path)
        list.check(defaultAction != .notify, "defaultAction", "SCMP_ACT_NOTIFY cannot be the default action")
        list.errnoRet(defaultErrnoRet, defaultAction, "defaultErrnoRet")
        list.path(listenerPath, "listenerPath")
        let listener = listenerPath ?? ""
        if notifies {
            list.check(
                listener.hasPrefix("/"), "listenerPath", listener.isEmpty ? "SCMP_ACT_NOTIFY needs the path of an agent's socket" : "\(quoted(listener)) is not absolute")
        }
        if !(listenerMetadata ?? "").isEmpty { list.check(!listener.isEmpty, "listenerMetadata", "needs listenerPath") }
        for (index, rule) in syscalls.enumerated() {
            let field = "syscalls[\(index)]"
            list.check(!rule.names.isEmpty, "\(field).names", "must not be empty")
            list.clean(rule.names, "\(field).names")
            for (position, name) in rule.names.enumerated() { list.check(!name.isEmpty, "\(field).names[\(position)]", "is empty") }
            // The descriptor of the listener is announced by write(2), which must not wait for who is to get it.
            list.check(rule.action != .notify || !rule.names.contains("write"), "\(field).action", "SCMP_ACT_NOTIFY cannot be used for the write syscall")
            list.errnoRet(rule.errnoRet, rule.action, "\(field).errnoRet")
            for (position, argument) in rule.args.enumerated() {
                list.check(argument.index <= 5, "\(field).args[\(position)].index", "must be from 0 to 5")
            }
        }
        return list.problems
    }
}

extension ProblemList {
    fileprivate mutating func errnoRet(_ value: UInt32?, _ action: SeccompSpec.Action, _ field: String) {
        guard let value else { return }
        switch action {
        case .errno: check(value <= 4095, field, "must be from 0 to 4095")
        case .trace: check(value <= 65535, field, "must be from 0 to 65535")
        default: add(field, "\(action.rawValue) returns no errno")
        }
    }
}
