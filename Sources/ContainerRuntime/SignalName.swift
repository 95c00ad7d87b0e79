internal import Glibc

/// Signals by name (signal(7)).
public enum SignalName {
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
        "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ]
    private static let aliases = ["IOT": "ABRT", "POLL": "IO", "CLD": "CHLD"]
    public static let realTime: ClosedRange<Int32> = 34...64

    public static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = realTimeNumber(name) { return number }
        return names.firstIndex(of: aliases[name] ?? name).map { Int32($0 + 1) }
    }

    /// `SIGTERM` …; a number by itself where there is no name.
    public static func name(_ number: Int32) -> String {
        if (1...Int32(names.count)).contains(number) { return "SIG" + names[Int(number) - 1] }
        return realTime.contains(number) ? (number == realTime.lowerBound ? "SIGRTMIN" : "SIGRTMIN+\(number - realTime.lowerBound)") : "\(number)"
    }

    /// RTMIN, RTMIN+n, RTMAX, RTMAX-n
    private static func realTimeNumber(_ name: String) -> Int32? {
        for (word, base, sign) in [("RTMIN", realTime.lowerBound, "+"), ("RTMAX", realTime.upperBound, "-")] where name.hasPrefix(word) {
            let rest = name.dropFirst(word.count)
            if rest.isEmpty { return base }
            guard rest.hasPrefix(sign), let offset = Int32(rest.dropFirst()), (0...30).contains(offset) else { return nil }
            return sign == "+" ? base + offset : base - offset
        }
        return nil
    }
}

/// The signals that a waiting command passes on to the process it waits for: all but those that concern this process alone
/// (SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, the terminal's SIGTTIN and SIGTTOU), that report its own faults, or that cannot be caught.
public enum PassedSignals {
    public static let all: [Int32] =
        [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGTSTP, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGIO, SIGPWR]
        + Array(SignalName.realTime)
}
