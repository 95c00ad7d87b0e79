internal import Glibc
internal import LinuxSystem
public import OCISpec

/// linux.intelRdt: a container's group in the resctrl file system, which divides caches and memory bandwidth.
public struct ResourceControl {
    /// The group's directory.
    let directory: String
    /// The group that only counts, if one is asked for.
    let monitoring: String?
    private let spec: IntelRdtSpec
    /// Whether the group is the container's alone: made with it and removed with it.
    private var isOwn: Bool { spec.closID == nil }

    /// Why a configuration that has linux.intelRdt cannot be honoured.
    public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
        public let description: String
        init(_ text: String) { description = "linux.intelRdt: " + text }
        init(_ what: String, _ error: SystemError) { self.init("\(what): \(error)") }
    }

    /// - Parameter mountPoint: of the resctrl file system; nil looks for it.
    public init(_ spec: IntelRdtSpec, container: String, mountPoint: String? = nil) throws(Problem) {
        guard let root = mountPoint ?? Self.mountPoint() else { throw Problem("no resctrl file system is mounted on this host") }
        self.spec = spec
        directory = spec.closID == "/" ? root : root + "/" + (spec.closID ?? container)
        monitoring = spec.enableMonitoring ? directory + "/mon_groups/" + container : nil
    }

    private static func mountPoint() -> String? {
        guard let text = try? readFile("/proc/self/mountinfo") else { return nil }
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 1, fields[dash + 1] == "resctrl" else { continue }
            return ControlGroupLayout.unescaped(fields[4])
        }
        return nil
    }

    /// The lines of schemata that a group which exists must have.
    private var required: [String] { [spec.l3CacheSchema, spec.memBwSchema].compactMap { $0 }.filter { !$0.isEmpty } }

    private var exists: Bool { (try? FileStatus(path: directory))?.isDirectory ?? false }

    /// Refuses a group that must exist and does not, and one that must not and does: nothing was made yet that `delete` may remove.
    public func check() throws(Problem) {
        if !isOwn, required.isEmpty, spec.schemata.isEmpty, !exists { throw Problem("closID: there is no group \(directory)") }
        if isOwn && exists { throw Problem("the group \(directory) exists already") }
    }

    /// Makes the group and writes its schemata, or compares those of one that exists. After an error `delete` is to be called.
    public func make() throws(Problem) {
        let lines = required
        if exists {
            try compare(lines)
        } else {
            do throws(SystemError) { try makeDirectory(directory) } catch { throw Problem("unable to create the group", error) }
            try write(lines)
        }
        try write(spec.schemata)
        guard let monitoring else { return }
        do throws(SystemError) { try makeDirectory(monitoring) } catch { throw Problem("enableMonitoring: unable to create the group", error) }
    }

    private func write(_ lines: [String]) throws(Problem) {
        for line in lines {
            do throws(SystemError) { try overwrite(directory + "/schemata", line + "\n") } catch { throw Problem("unable to write \"\(line)\"", error) }
        }
    }

    private func compare(_ lines: [String]) throws(Problem) {
        if lines.isEmpty { return }
        let text: String
        do throws(SystemError) { text = String(decoding: try readFile(directory + "/schemata"), as: UTF8.self) } catch { throw Problem("unable to read the group", error) }
        var existing: [String: String] = [:]
        for line in text.split(separator: "\n") { existing.merge(Self.entries(line)) { first, _ in first } }
        for line in lines {
            for (key, value) in Self.entries(line[...]) where existing[key] != value {
                throw Problem("\"\(line)\" does not match the existing group \(directory), which has \(key)=\(existing[key] ?? "nothing")")
            }
        }
    }

    /// "L3:0=0f;1=1f" as L3:0 → f, L3:1 → 1f: the kernel pads with blanks and zeros.
    private static func entries(_ line: Substring) -> [String: String] {
        guard let colon = line.firstIndex(of: ":") else { return [:] }
        let resource = line[..<colon].filter { !$0.isWhitespace }
        var result: [String: String] = [:]
        for entry in line[line.index(after: colon)...].split(separator: ";") {
            let parts = entry.split(separator: "=", maxSplits: 1).map { $0.filter { !$0.isWhitespace } }
            guard parts.count == 2 else { continue }
            let digits = parts[1].lowercased().drop { $0 == "0" }
            result["\(resource):\(parts[0])"] = digits.isEmpty ? "0" : String(digits)
        }
        return result
    }

    /// Puts a process into the group, with every thread that it has by now; threads to come follow.
    public func add(_ pid: Int32) throws(Problem) {
        for group in [directory, monitoring].compactMap({ $0 }) {
            var moved: Set<String> = []
            while true {
                let threads: [String]
                do throws(SystemError) {
                    threads = try OwnedDescriptor(opening: "/proc/\(pid)/task", flags: O_RDONLY | O_DIRECTORY).entries().filter { !moved.contains($0) }
                    for thread in threads { try overwrite(group + "/tasks", thread) }
                } catch { throw Problem("unable to add process \(pid) to \(group)", error) }
                if threads.isEmpty { break }
                moved.formUnion(threads)
            }
        }
    }

    /// What is made for the container alone and must go with it, in the order of its removal.
    public var ownDirectories: [String] { [monitoring, isOwn ? directory : nil].compactMap { $0 } }

    /// Removes groups. Nothing there is no error.
    public static func delete(_ directories: [String]) throws(Problem) {
        for group in directories {
            do throws(SystemError) { try removeDirectory(group) } catch {
                if error.errno != .noSuchFile { throw Problem("unable to remove the group", error) }
            }
        }
    }
}
