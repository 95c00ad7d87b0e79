import ArgumentParser
import ContainerRuntime

/// Reads the command lines that engines write for the verbs of a container's life, without ArgumentParser: that one looks at every
/// type by reflection, 14 million instructions a call, a tenth of a whole start. What is not plain (an unknown flag, `-df`, a missing value,
/// `--help`, another verb) gives nil, and ArgumentParser reads the line, and complains about it, as if this were not here.
struct PlainArguments {
    private var operands: [String] = []
    private var values: [String: String] = [:]
    private var flags: Set<String> = []

    /// The command that a line asks for.
    static func command(_ arguments: [String]) -> (any ParsableCommand)? {
        var words = arguments[...]
        var own = PlainArguments()
        // The first word that is no option and no option's value is the verb.
        guard own.take(&words, options: ["--root", "--log", "--log-format", "--isolation", "--rootless", "--criu", "--config", "--cgroup-manager"], flags: ["--debug", "--systemd-cgroup"], stopsAtOperand: true),
            let verb = own.operands.first, let parent = own.globals()
        else { return nil }
        var rest = PlainArguments()
        let options = ["--bundle", "--console-socket", "--pidfd-socket", "--pid-file", "--preserve-fds"]
        let flags = ["--no-pivot", "--no-new-keyring"]
        switch verb {
        case "create":
            guard rest.take(&words, options: options, flags: flags), let bundle = rest.bundle(), let id = rest.operand() else { return nil }
            var command = Create()
            (command.parent, command.options, command.id) = (parent, bundle, id)
            return command
        case "run":
            guard rest.take(&words, options: options, flags: flags + ["--detach", "--keep"]), let bundle = rest.bundle(), let id = rest.operand() else { return nil }
            var command = Run()
            (command.parent, command.options, command.id) = (parent, bundle, id)
            (command.detach, command.keep, command.noSubreaper) = (rest.flags.contains("--detach"), rest.flags.contains("--keep"), false)
            return command
        case "start":
            guard rest.take(&words), let id = rest.operand() else { return nil }
            var command = Start()
            (command.parent, command.id) = (parent, id)
            return command
        case "state":
            guard rest.take(&words), let id = rest.operand() else { return nil }
            var command = State()
            (command.parent, command.id) = (parent, id)
            return command
        case "kill":
            guard rest.take(&words, flags: ["--all"]), let id = rest.operands.first, rest.operands.count <= 2 else { return nil }
            var command = Kill()
            (command.parent, command.id, command.all) = (parent, id, rest.flags.contains("--all"))
            command.signal = rest.operands.count == 2 ? rest.operands[1] : "SIGTERM"
            return command
        case "delete":
            guard rest.take(&words, flags: ["--force"]), let id = rest.operand() else { return nil }
            var command = Delete()
            (command.parent, command.id, command.force) = (parent, id, rest.flags.contains("--force"))
            return command
        default: return nil
        }
    }

    private static let short = ["-b": "--bundle", "-d": "--detach", "-a": "--all", "-f": "--force"]

    /// Takes words until the end or, if asked, up to and with the first operand. False: there is something that is not plain.
    private mutating func take(_ words: inout ArraySlice<String>, options: [String] = [], flags known: [String] = [], stopsAtOperand: Bool = false) -> Bool {
        while let word = words.popFirst() {
            guard word.hasPrefix("-") else {
                operands.append(word)
                if stopsAtOperand { return true }
                continue
            }
            let name = Self.short[word] ?? word
            if known.contains(name) {
                guard flags.insert(name).inserted else { return false }
            } else if options.contains(name) {
                guard let value = words.popFirst(), !value.hasPrefix("-") else { return false }
                values[name] = value
            } else if name.hasPrefix("--"), let equals = name.firstIndex(of: "="), options.contains(String(name[..<equals])) {
                values[String(name[..<equals])] = String(name[name.index(after: equals)...])
            } else {
                return false
            }
        }
        return true
    }

    private func operand() -> String? { operands.count == 1 ? operands[0] : nil }

    // Every property must be set: one that ArgumentParser has not filled has no value.

    private func globals() -> NacelleOCI? {
        var format: RuntimeLog.Format?
        if let asked = values["--log-format"] {
            guard let known = RuntimeLog.Format(rawValue: asked) else { return nil }
            format = known
        }
        var isolation: IsolationChoice?
        if let asked = values["--isolation"] {
            guard let choice = IsolationChoice(rawValue: asked) else { return nil }
            isolation = choice
        }
        var driver: ControlGroupDriver?
        if let asked = values["--cgroup-manager"] {
            guard let known = ControlGroupDriver(rawValue: asked) else { return nil }
            driver = known
        }
        // Refused by `validate`.
        guard values["--root"] != "" else { return nil }
        // Not `try?`, which makes one of its nil, for `auto`, and of an error.
        do throws(RuntimeError) { _ = try Rootless.choice(values["--rootless"]) } catch { return nil }
        var command = NacelleOCI()
        (command.root, command.log, command.logFormat) = (values["--root"], values["--log"], format)
        (command.debug, command.systemdCgroup) = (flags.contains("--debug"), flags.contains("--systemd-cgroup"))
        command.cgroupManager = driver
        (command.isolation, command.rootless, command.criu, command.config) = (isolation, values["--rootless"], values["--criu"], values["--config"])
        return command
    }

    private func bundle() -> BundleOptions? {
        // Anything else is refused by `validate`.
        guard ["0", nil].contains(values["--preserve-fds"]) else { return nil }
        var options = BundleOptions()
        (options.bundle, options.consoleSocket, options.pidFile) = (values["--bundle"] ?? ".", values["--console-socket"], values["--pid-file"])
        options.pidfdSocket = values["--pidfd-socket"]
        (options.noPivot, options.noNewKeyring, options.preserveFds) = (flags.contains("--no-pivot"), flags.contains("--no-new-keyring"), 0)
        return options
    }
}
