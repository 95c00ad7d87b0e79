internal import Glibc
internal import LinuxSystem

/// A container's log as its supervisor writes it: when a file has its size it becomes `log.1`, the older ones move on, and the oldest goes.
final class LogFile {
    private let folder: SharedDescriptor
    private let name: String
    private let settings: LogSettings
    private var file: SharedDescriptor
    private var written: Int64

    /// Appends to what is there.
    /// - Parameter path: the current file's.
    init(_ path: String, _ settings: LogSettings) throws(SystemError) {
        self.settings = settings
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        name = String(path[path.index(after: slash)...])
        folder = SharedDescriptor(try OwnedDescriptor(opening: String(path[..<slash]), flags: O_PATH | O_DIRECTORY))
        file = try Self.open(name, in: folder)
        written = try file.with { (file) throws(SystemError) in try file.size() }
    }

    private static func open(_ name: String, in folder: SharedDescriptor) throws(SystemError) -> SharedDescriptor {
        try folder.with { (folder) throws(SystemError) in
            SharedDescriptor(try folder.openEntry(try EntryName(name), flags: O_WRONLY | O_CREAT | O_APPEND, mode: 0o600))
        }
    }

    func write(_ bytes: [UInt8], _ stream: LogLine.Stream) throws(SystemError) {
        guard settings.isKept, !bytes.isEmpty else { return }
        let time = LogLine.time(realtimeNanoseconds())
        var text: [UInt8] = []
        for line in LogLine.lines(bytes, stream, time: time) {
            line.append(to: &text)
            // A file is begun with a line, so that each can be read by itself.
            if written + Int64(text.count) >= settings.size {
                try append(text)
                text = []
                try rotate()
            }
        }
        try append(text)
    }

    private func append(_ bytes: [UInt8]) throws(SystemError) {
        if bytes.isEmpty { return }
        let before = written
        try file.with { (file) throws(SystemError) in
            do throws(SystemError) { try file.writeAll(bytes) } catch {
                // A full disk takes a part of a line, to which the next one must not be added.
                try? file.truncate(to: before)
                throw error
            }
        }
        written += Int64(bytes.count)
    }

    private func rotate() throws(SystemError) {
        try folder.with { (folder) throws(SystemError) in
            for number in stride(from: settings.files - 1, to: 0, by: -1) {
                let older = try EntryName("\(name).\(number)")
                let newer = try EntryName(number == 1 ? name : "\(name).\(number - 1)")
                do throws(SystemError) { try folder.rename(newer, to: folder, older, flags: 0) } catch where error.errno == .noSuchFile {}
            }
            if settings.files == 1 { try folder.removeFile(try EntryName(name)) }
        }
        file = try Self.open(name, in: folder)
        written = 0
    }
}

/// Reads a log back, across rotations, and waits for more of it.
public final class LogReader {
    public struct Selection: Sendable {
        /// The last so many lines; nil is all.
        public var tail: Int?
        /// As LogTime has them.
        public var since: String?
        public var until: String?
        public init() {}
    }

    /// What is shown of a line.
    public struct Shown: Equatable, Sendable {
        public var isErrors: Bool
        /// With the newline of a whole line.
        public var text: [UInt8]
    }

    private let path: String
    private let selection: Selection
    private let showsTimes: Bool
    private var file: SharedDescriptor?
    private var offset: Int64 = 0
    /// The end of the file that no newline ends yet.
    private var rest: [UInt8] = []
    /// Streams in the middle of a line.
    private var unfinished: Set<String> = []

    /// Bytes that are read at a time: a log may be larger than memory.
    private static let piece = 1 << 20

    public init(_ path: String, _ selection: Selection, showsTimes: Bool) {
        (self.path, self.selection, self.showsTimes) = (path, selection, showsTimes)
    }

    /// What the log has now.
    public func past(_ show: ([Shown]) -> Void) throws(EngineError) {
        var kept: [LogLine] = []
        try read(try snapshot()) { (lines) in
            guard let tail = selection.tail else { return show(lines.map(shown)) }
            kept += lines
            if kept.count > 2 * tail + 4096 { kept = Self.last(tail, of: kept) }
        }
        if let tail = selection.tail { show(Self.last(tail, of: kept).map(shown)) }
    }

    /// What has come since.
    /// - Returns: whether anything has.
    public func next(_ show: ([Shown]) -> Void) throws(EngineError) -> Bool {
        var isAny = false
        func pass(_ lines: [LogLine]) {
            isAny = isAny || !lines.isEmpty
            show(lines.map(shown))
        }
        try readOn(pass)
        if isAny { return true }
        guard try doing("cannot read the log", { () throws(SystemError) in try isReplaced() }) else { return false }
        // What was written to the file before it was replaced is complete now; then come those after it.
        try readOn(pass)
        let files = try snapshot()
        var after = 0
        if let own = file.flatMap(Self.inode), let index = files.firstIndex(where: { Self.inode($0) == own }) { after = index + 1 }
        try read(Array(files[after...]), pass)
        return isAny
    }

    /// The last so many lines. Pieces count with the line that they belong to.
    private static func last(_ count: Int, of lines: [LogLine]) -> [LogLine] {
        var first = lines.endIndex
        var found = 0
        while first > 0 {
            if lines[first - 1].isWhole || first == lines.endIndex { found += 1 }
            if found > count { break }
            first -= 1
        }
        return Array(lines[first...])
    }

    // MARK: Files

    /// All files, the oldest first, as they were at one time: while they move on one could be missed, or be there twice.
    private func snapshot() throws(EngineError) -> [SharedDescriptor] {
        try doing("cannot read the log") { () throws(SystemError) in
            var files: [SharedDescriptor] = []
            for _ in 0..<100 {
                let current = try Self.open(path)
                files = []
                for number in stride(from: 100, to: 0, by: -1) { if let older = try Self.open("\(path).\(number)") { files.append(older) } }
                if let current { files.append(current) }
                // None is there between two steps of a writer.
                if let current, let now = try Self.open(path), Self.inode(now) == Self.inode(current) { break }
                if current == nil && files.isEmpty { break }
            }
            return files
        }
    }

    /// Reads files to their ends, and stays at the last one's.
    private func read(_ files: [SharedDescriptor], _ take: ([LogLine]) -> Void) throws(EngineError) {
        for next in files {
            (file, offset, rest) = (next, 0, [])
            try readOn(take)
        }
    }

    private func readOn(_ take: ([LogLine]) -> Void) throws(EngineError) {
        while let file {
            let start = offset
            let bytes = try doing("cannot read the log") { () throws(SystemError) in
                try file.with { (file) throws(SystemError) in try file.bytes(at: start, count: max(0, Int(min(file.size() - start, Int64(Self.piece))))) }
            }
            if bytes.isEmpty { return }
            offset += Int64(bytes.count)
            take(parse(bytes).filter(isSelected))
        }
    }

    private static func open(_ path: String) throws(SystemError) -> SharedDescriptor? {
        do throws(SystemError) { return SharedDescriptor(try OwnedDescriptor(opening: path, flags: O_RDONLY)) } catch where error.errno == .noSuchFile { return nil }
    }

    private static func inode(_ file: SharedDescriptor) -> UInt64? { try? file.with { (file) throws(SystemError) in try file.attributes().inode } }

    private func isReplaced() throws(SystemError) -> Bool {
        guard let current = try Self.open(path) else { return false }
        return file.flatMap(Self.inode) != Self.inode(current)
    }

    private func parse(_ bytes: [UInt8]) -> [LogLine] {
        let text = rest + bytes
        guard let end = text.lastIndex(of: UInt8(ascii: "\n")) else {
            rest = text
            return []
        }
        rest = Array(text[(end + 1)...])
        return text[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).compactMap { LogLine($0) }
    }

    private func isSelected(_ line: LogLine) -> Bool {
        if let since = selection.since, line.time < since { return false }
        if let until = selection.until, line.time > until { return false }
        return true
    }

    private func shown(_ line: LogLine) -> Shown {
        let isContinued = unfinished.contains(line.stream.rawValue)
        if line.isWhole { unfinished.remove(line.stream.rawValue) } else { unfinished.insert(line.stream.rawValue) }
        let prefix = showsTimes && !isContinued ? Array("\(line.time) ".utf8) : []
        return Shown(isErrors: line.stream == .errors, text: prefix + line.text + (line.isWhole ? [UInt8(ascii: "\n")] : []))
    }
}
