import ArgumentParser
import ContainerRuntime
import JSONText
import LinuxSystem
import OCISpec

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the containers below --root.")
    enum Format: String, ExpressibleByArgument, CaseIterable { case table, json }
    @ParentCommand var parent: NacelleOCI
    @Option(name: [.short, .long], help: "table or json.") var format = Format.table
    @Flag(name: [.short, .long], help: "Names only.") var quiet = false

    func run() throws {
        _ = try parent.makeLog()
        let identifiers = try StateDirectory.identifiers(root: parent.absoluteRoot)
        if quiet {
            for id in identifiers { print(id) }
            return
        }
        var rows: [(record: ContainerRecord, status: StateSpec.Status)] = []
        for id in identifiers {
            let container = try parent.container(id)
            // One that is deleted meanwhile is no error.
            guard let record = try? container.record() else { continue }
            rows.append((record, container.status(record)))
        }
        format == .json ? printJSON(rows) : printTable(rows)
    }

    private func printJSON(_ rows: [(record: ContainerRecord, status: StateSpec.Status)]) {
        let objects = rows.map { row in
            var object = JSONObject()
            object["ociVersion"] = .string(row.record.ociVersion)
            object["id"] = .string(row.record.id)
            object["pid"] = .integer(row.status == .stopped ? 0 : Int64(row.record.pid))
            object["status"] = .string(row.status.rawValue)
            object["bundle"] = .string(row.record.bundle)
            object["rootfs"] = .string(row.record.rootfs)
            object["created"] = .string(row.record.created)
            if !row.record.annotations.isEmpty {
                var notes = JSONObject()
                for (key, value) in row.record.annotations.sorted(by: { $0.key < $1.key }) { notes[key] = .string(value) }
                object["annotations"] = .object(notes)
            }
            object["owner"] = .string(UserName.of(row.record.owner))
            object["isolation"] = .string(row.record.isolation.rawValue)
            return JSONValue.object(object)
        }
        print(rows.isEmpty ? "null" : JSONValue.array(objects).text())
    }

    private func printTable(_ rows: [(record: ContainerRecord, status: StateSpec.Status)]) {
        let lines = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER", "ISOLATION"]] + rows.map {
            [$0.record.id, $0.status == .stopped ? "0" : "\($0.record.pid)", $0.status.rawValue, $0.record.bundle, $0.record.created, UserName.of($0.record.owner), $0.record.isolation.rawValue]
        }
        // runc's table: columns at least 12 wide, three blanks between.
        let widths = (0..<7).map { column in max(12, (lines.map { $0[column].count }.max() ?? 0) + 3) }
        for line in lines {
            print(line.enumerated().map { $0.offset == 6 ? $0.element : $0.element + String(repeating: " ", count: widths[$0.offset] - $0.element.count) }.joined())
        }
    }
}

/// A user's name as /etc/passwd has it, or `#` and the number. The C library's own look-up would load libraries.
enum UserName {
    static func of(_ uid: UInt32) -> String {
        guard let text = try? readFile("/etc/passwd", limit: 1 << 22) else { return "#\(uid)" }
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, UInt32(fields[2]) == uid { return String(fields[0]) }
        }
        return "#\(uid)"
    }
}

struct Spec: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "spec", abstract: "Write an example config.json.")
    @Option(name: [.short, .long], help: "The folder to write it to.") var bundle = "."
    @Flag(help: "For an ordinary user.") var rootless = false
    func run() throws { try SpecFile.write(RuntimeSpec.example(rootless: rootless), folder: absolutePath(bundle)) }
}
