import AgentProtocol
import ArgumentParser
import ContainerRuntime
import Glibc
import JSONText
import LinuxSystem

struct Ps: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps", abstract: "List the processes in a container.",
        discussion: """
            Without a machine: what ps(1) with the given options (-ef) says of them. Of a machine: its own processes, with their pids in it; in JSON the one \
            pid that it has on this host.
            """)
    enum Format: String, ExpressibleByArgument, CaseIterable { case table, json }
    @ParentCommand var parent: NacelleOCI
    @Option(name: [.short, .long], help: "table or json (pids of this host only).") var format = Format.table
    @Argument(help: "The container's name.") var id: String
    @Argument(parsing: .captureForPassthrough, help: "Options for ps(1).") var options: [String] = []

    func run() throws {
        let container = try parent.container(id)
        switch try container.processes() {
        case .host(let pids):
            if format == .json { return printJSON(pids) }
            print(try Self.selected(try Self.output(ofPS: options.isEmpty ? ["-ef"] : options), pids: Set(pids)), terminator: "")
        case .guest(let entries):
            // Who asks for JSON is an engine, which looks the pids up on this host (`docker top`): a guest's would be strangers' here.
            if format == .json { return printJSON([try container.record().pid]) }
            print("UID         PID    PPID CMD")
            for entry in entries { print("\(Self.column("\(entry.user)", -8))\(Self.column("\(entry.pid)", 7)) \(Self.column("\(entry.parent)", 7)) \(entry.command)") }
        }
    }

    private func printJSON(_ pids: [Int32]) { print(JSONValue.array(pids.map { .integer(Int64($0)) }).text()) }

    /// At the left of a column with a negative width, else at the right.
    private static func column(_ text: String, _ width: Int) -> String {
        let blanks = String(repeating: " ", count: max(0, abs(width) - text.count))
        return width < 0 ? text + blanks : blanks + text
    }

    /// The header and the lines of these processes.
    private static func selected(_ text: String, pids: Set<Int32>) throws(RuntimeError) -> String {
        let lines = text.split(separator: "\n")
        guard let header = lines.first, let index = header.split(separator: " ").firstIndex(of: "PID") else { throw RuntimeError("couldn't find PID field in ps output") }
        let rows = lines.dropFirst().filter { line in
            let fields = line.split(separator: " ")
            return fields.count > index && Int32(fields[index]).map(pids.contains) ?? false
        }
        return ([header] + rows).map { $0 + "\n" }.joined()
    }

    private static func output(ofPS options: [String]) throws(RuntimeError) -> String {
        let folders = ["/usr/local/bin", "/usr/bin", "/bin"]
        guard let program = folders.map({ $0 + "/ps" }).first(where: { unsafe access($0, X_OK) == 0 }) else {
            throw RuntimeError("exec: \"ps\": executable file not found in $PATH")
        }
        do throws(SystemError) {
            let output = try MemoryFile.make("ps", [])
            let messages = SharedDescriptor(try OwnedDescriptor(duplicating: 2))
            let pid = try ProgramStart.start(program, arguments: options, environment: ["LC_ALL=C"], descriptors: [nil, output, messages], newSession: false)
            guard try waitForProcess(pid)?.status == .exited(0) else { throw SystemError(.invalidArgument, "ps \(options.joined(separator: " "))") }
            return String(decoding: try readFile("/proc/self/fd/\(output.rawValue)"), as: UTF8.self)
        } catch { throw RuntimeError("cannot list processes", error) }
    }
}
