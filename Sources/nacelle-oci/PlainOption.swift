import ArgumentParser

/// An option of a command as PlainArguments' table has it.
struct PlainOption<Command> {
    let names: [String]
    let takesValue: Bool
    /// Gets the values that were given, in order, none included. False: ArgumentParser shall look at them.
    let set: (inout Command, [String]) -> Bool

    static func flag(_ names: String..., set: @escaping (inout Command, Bool) -> Void) -> Self {
        Self(names: names, takesValue: false) { command, given in
            set(&command, !given.isEmpty)
            return given.count <= 1
        }
    }

    static func text(_ names: String..., set: @escaping (inout Command, String?) -> Void) -> Self {
        Self(names: names, takesValue: true) { command, given in
            set(&command, given.last)
            return true
        }
    }

    static func value<Value>(_ names: String..., as read: @escaping (String) -> Value?, set: @escaping (inout Command, Value?) -> Void) -> Self {
        Self(names: names, takesValue: true) { command, given in
            let values = given.compactMap(read)
            set(&command, values.last)
            return values.count == given.count
        }
    }

    static func values<Value>(_ names: String..., as read: @escaping (String) -> Value?, set: @escaping (inout Command, [Value]) -> Void) -> Self {
        Self(names: names, takesValue: true) { command, given in
            let values = given.compactMap(read)
            set(&command, values)
            return values.count == given.count
        }
    }

    /// Takes words until the end or, if asked, up to and with the first operand, and sets all options.
    /// - Returns: the operands; nil: there is something that is not plain.
    static func take(_ words: inout ArraySlice<String>, _ options: [Self], into command: inout Command, stopsAtOperand: Bool = false) -> [String]? {
        var given = [[String]](repeating: [], count: options.count)
        var operands: [String] = []
        while let word = words.popFirst() {
            guard word.hasPrefix("-") else {
                operands.append(word)
                if stopsAtOperand { break }
                continue
            }
            let equals = word.hasPrefix("--") ? word.firstIndex(of: "=") : nil
            let name = String(word[..<(equals ?? word.endIndex)])
            guard let index = options.firstIndex(where: { $0.names.contains(name) }) else { return nil }
            switch (options[index].takesValue, equals) {
            case (false, nil): given[index].append(name)
            case (false, _?): return nil
            case (true, let equals?):
                let value = word[word.index(after: equals)...]
                if value.isEmpty { return nil }
                given[index].append(String(value))
            case (true, nil):
                // `-` is a value: standard input.
                guard let value = words.popFirst(), value == "-" || !value.hasPrefix("-") else { return nil }
                given[index].append(value)
            }
        }
        for (option, values) in zip(options, given) where !option.set(&command, values) { return nil }
        return operands
    }
}

/// A verb that concerns one container, and one that makes it of a bundle.
protocol ContainerCommand: ParsableCommand {
    var parent: NacelleOCI { get set }
    var id: String { get set }
}
protocol BundleCommand: ContainerCommand { var options: BundleOptions { get set } }

extension Create: BundleCommand {}
extension Run: BundleCommand {}
extension Start: ContainerCommand {}
extension State: ContainerCommand {}
extension Kill: ContainerCommand {}
extension Delete: ContainerCommand {}
extension Pause: ContainerCommand {}
extension Resume: ContainerCommand {}
extension Exec: ContainerCommand {}
extension Ps: ContainerCommand {}
extension Events: ContainerCommand {}
extension Update: ContainerCommand {}

/// A line, read up to its verb: the first word that is no option and no option's value.
struct PlainLine {
    private(set) var parent = NacelleOCI()
    let verb: String?
    /// What follows.
    var words: ArraySlice<String>

    init?(_ arguments: [String]) {
        words = arguments[...]
        guard let operands = PlainOption.take(&words, PlainArguments.globals, into: &parent, stopsAtOperand: true) else { return nil }
        verb = operands.first
    }

    /// - Parameters:
    ///   - passesRest: all that follows the container's name is an operand, whatever it looks like.
    ///   - accept: gets the operands after the container's name.
    mutating func read<Command: ContainerCommand>(
        _ empty: Command, _ options: [PlainOption<Command>] = [], passesRest: Bool = false,
        accept: (inout Command, [String]) -> Bool = { $1.isEmpty }
    ) -> Command? {
        var command = empty
        command.parent = parent
        guard let operands = PlainOption.take(&words, options, into: &command, stopsAtOperand: passesRest), let id = operands.first else { return nil }
        command.id = id
        return accept(&command, Array(operands.dropFirst()) + words) ? command : nil
    }
}
