internal import Glibc
public import LinuxSystem

/// Tells an event loop when processes of a group were killed for want of memory.
public final class OutOfMemoryWatch {
    /// memory.events of version 2, which poll(2) reports when it has changed; memory.oom_control of version 1.
    private let file: OwnedDescriptor
    private let event: Event?
    /// Version 1: what the kernel signals. It does so before it kills, and once more when the group is removed.
    private final class Event {
        let descriptor: EventDescriptor
        init() throws(SystemError) { descriptor = try EventDescriptor() }
    }

    private let directory: String
    /// How many were killed, as far as this watch knows.
    public private(set) var kills: UInt64

    init(version2 directory: String) throws(SystemError) {
        self.directory = directory
        file = try OwnedDescriptor(opening: directory + "/memory.events", flags: O_RDONLY)
        event = nil
        kills = 0
        kills = counted() ?? 0
    }

    init(version1 directory: String) throws(SystemError) {
        self.directory = directory
        file = try OwnedDescriptor(opening: directory + "/memory.oom_control", flags: O_RDONLY)
        let event = try Event()
        try overwrite(directory + "/cgroup.event_control", "\(event.descriptor.descriptor.rawValue) \(file.rawValue)")
        self.event = event
        kills = 0
        kills = counted() ?? 0
    }

    /// What a loop waits for, on which descriptor.
    public var rawValue: Int32 { event?.descriptor.descriptor.rawValue ?? file.rawValue }
    public var interest: Readiness { event == nil ? .urgent : .readable }

    /// Takes what has happened since the last time. True: processes were killed.
    public func take() -> Bool {
        let found = counted()
        if let event {
            guard event.descriptor.drain() > 0, let found else { return false }
            kills = max(found, kills + 1)
            return true
        }
        guard let found, found > kills else { return false }
        kills = found
        return true
    }

    /// nil when the group is gone. Of version 2 it must be this descriptor that is read: what it has not read it is woken for.
    private func counted() -> UInt64? {
        if event != nil { return GroupFiles(directory).keyed("memory.oom_control")["oom_kill"] ?? (GroupFiles(directory).text("memory.oom_control") == nil ? nil : 0) }
        guard let bytes = try? file.bytes(at: 0, count: 4096) else { return nil }
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("oom_kill ") }
        return line.flatMap { UInt64($0.dropFirst("oom_kill ".count)) } ?? 0
    }
}

extension ControlGroup {
    /// - Throws: when there is no memory controller.
    public func watchOutOfMemory() throws(ControlGroupError) -> OutOfMemoryWatch {
        do throws(SystemError) {
            if let unifiedDirectory { return try OutOfMemoryWatch(version2: unifiedDirectory) }
            guard let directory = places.first(where: { $0.hierarchy.controllers.contains("memory") })?.directory else {
                throw SystemError(.noSuchFile, "memory.oom_control")
            }
            return try OutOfMemoryWatch(version1: directory)
        } catch where error.errno == .noSuchFile {
            throw .missingController("memory", file: layout.isUnified ? "memory.events" : "memory.oom_control")
        } catch { throw .system(error) }
    }
}
