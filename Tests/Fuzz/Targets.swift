/// A parser of hostile input and what must hold for it, whatever it is fed with.
protocol FuzzTarget {
    static var name: String { get }
    init()
    /// Makes an input of `random`, feeds it, and checks.
    mutating func run(_ random: inout Random) -> Verdict
}

enum Verdict {
    case accepted
    case refused
    /// A property does not hold.
    case failed(String)
}

var targets: [any FuzzTarget.Type] { [ConfigurationTarget.self, MessageTarget.self, ImageTarget.self] }
