internal import Glibc
internal import LinuxSystem

/// A service manager, systemd's for the system or for a user, over its private socket: no bus daemon is needed, and nothing is linked or
/// started for it.
final class SystemdManager {
    private let socket: OwnedDescriptor
    private var serial: UInt32 = 0
    private var received: [UInt8] = []
    private var waiting: [DBusMessage] = []

    /// Milliseconds that systemd may take for one job.
    private static let patience: Int32 = 30_000

    /// systemd runs (sd_booted(3)).
    static var isRunning: Bool { (try? FileStatus(path: "/run/systemd/system"))?.isDirectory ?? false }

    /// Connects to the system's manager, or to the user's.
    convenience init(forUser: Bool) throws(RuntimeError) {
        let folder = unsafe getenv("XDG_RUNTIME_DIR").map { unsafe String(cString: $0) } ?? "/run/user/\(geteuid())"
        try self.init(path: forUser ? folder + "/systemd/private" : "/run/systemd/private")
    }

    init(path: String) throws(RuntimeError) {
        do throws(SystemError) {
            socket = try OwnedDescriptor.unixConnection(path: path)
            try socket.setNonBlocking(false)
            // D-Bus Specification, "Authentication Protocol": who this is the socket itself tells. In one piece, and nothing more before the answer: a
            // message that arrives together with BEGIN lies in systemd's buffer until more comes.
            try socket.writeAll(Array("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".utf8))
            try Self.expect("DATA", from: socket)
            try Self.expect("OK ", from: socket)
        } catch { throw RuntimeError("systemd's manager (\(path)): \(error)") }
    }

    private static func expect(_ word: String, from socket: borrowing OwnedDescriptor) throws(SystemError) {
        var line: [UInt8] = []
        var byte: [UInt8] = [0]
        // By the byte: what comes after the line belongs to messages.
        while line.suffix(2) != [13, 10][...], line.count < 1000 {
            guard try waitReadable(socket.rawValue, milliseconds: patience) else { throw SystemError(.timedOut, "authentication") }
            guard try socket.read(into: &byte) == 1 else { throw SystemError(.connectionReset, "authentication") }
            line += byte
        }
        guard line.starts(with: word.utf8) else { throw SystemError(.permissionDenied, "authentication: \(String(decoding: line.dropLast(2), as: UTF8.self))") }
    }

    // MARK: Units

    /// Starts a scope with these processes in it; returns when it is there.
    /// - Parameter properties: more of its properties, in their marshalling.
    func startScope(_ name: String, properties: (inout SystemdProperties) -> Void) throws(RuntimeError) {
        do throws(Refusal) {
            try job("StartTransientUnit", signature: "ssa(sv)a(sa(sv))", unit: name) { body in
                body.string(name)
                body.string("fail")
                SystemdProperties.write(properties, to: &body)
                body.array(alignment: 8) { _ in }
            }
        } catch { throw RuntimeError("systemd: unable to start unit \"\(name)\": \(error.text)") }
    }

    /// Changes properties of a unit, until it is gone: all of them or, when one is refused, none. Returns when they are in force.
    func setProperties(of name: String, _ properties: (inout SystemdProperties) -> Void) throws(RuntimeError) {
        do throws(Refusal) {
            _ = try call("SetUnitProperties", signature: "sba(sv)") { body in
                body.string(name)
                body.boolean(true)
                SystemdProperties.write(properties, to: &body)
            }
            // It writes its control groups after it has answered, and before it reads the next call.
            _ = try call("GetUnit", signature: "s") { $0.string(name) }
        } catch { throw RuntimeError("systemd: unable to set properties of unit \"\(name)\": \(error.text)") }
    }

    /// Moves a process into a unit.
    func attach(_ pid: UInt32, to name: String) throws(RuntimeError) {
        do throws(Refusal) {
            _ = try call("AttachProcessesToUnit", signature: "ssau") { body in
                body.string(name)
                body.string("/")
                body.array(alignment: 4) { $0.uint32(pid) }
            }
        } catch { throw RuntimeError("systemd: unable to put process \(pid) into unit \"\(name)\": \(error.text)") }
    }

    /// Refuses a name that another unit has. One that has failed is only remembered, and forgotten here.
    func reserve(_ name: String) throws(RuntimeError) {
        do throws(Refusal) {
            try unlessMissing { () throws(Refusal) in _ = try call("ResetFailedUnit", signature: "s") { $0.string(name) } }
            try unlessMissing { () throws(Refusal) in
                _ = try call("GetUnit", signature: "s") { $0.string(name) }
                throw Refusal(name: "", text: "there is one of that name already")
            }
        } catch { throw RuntimeError("systemd: unable to start unit \"\(name)\": \(error.text)") }
    }

    private func unlessMissing(_ body: () throws(Refusal) -> Void) throws(Refusal) {
        do throws(Refusal) { try body() } catch { if error.name != "org.freedesktop.systemd1.NoSuchUnit" { throw error } }
    }

    /// Stops a unit and waits until it is gone. One that is not there is no error.
    func stop(_ name: String) throws(RuntimeError) {
        do throws(Refusal) {
            try unlessMissing { () throws(Refusal) in
                try job("StopUnit", signature: "ss", unit: name) { body in
                    body.string(name)
                    body.string("replace")
                }
            }
            // A scope whose processes were killed is remembered as failed, and its name stays taken.
            try unlessMissing { () throws(Refusal) in _ = try call("ResetFailedUnit", signature: "s") { $0.string(name) } }
        } catch { throw RuntimeError("systemd: unable to stop unit \"\(name)\": \(error.text)") }
    }

    // MARK: Calls

    /// What the manager, or the connection to it, says instead of an answer.
    private struct Refusal: Error {
        var name: String
        var text: String
    }

    /// A method that gives a job, which is waited for.
    private func job(_ method: String, signature: String, unit: String, _ body: (inout DBusWriter) -> Void) throws(Refusal) {
        waiting = []
        let reply = try call(method, signature: signature, body)
        let job = try Self.parse(reply.body) { (reader) throws(DBusMessage.Malformed) in try reader.string() }
        // It may have ended before its number was known.
        while true {
            let signal = try waiting.isEmpty ? receive() : waiting.removeFirst()
            guard signal.kind == .signal, signal.member == "JobRemoved" else { continue }
            let (path, result) = try Self.parse(signal.body) { (reader) throws(DBusMessage.Malformed) in
                _ = try reader.uint32()
                let path = try reader.string()
                _ = try reader.string()
                return (path, try reader.string())
            }
            guard path == job else { continue }
            if result != "done" { throw Refusal(name: "", text: "the job has ended as `\(result)`: see journalctl -u \(unit)") }
            return
        }
    }

    private static func parse<R>(_ bytes: [UInt8], _ body: (inout DBusReader) throws(DBusMessage.Malformed) -> R) throws(Refusal) -> R {
        var reader = DBusReader(bytes[...])
        do throws(DBusMessage.Malformed) { return try body(&reader) } catch { throw unintelligible }
    }

    private static let unintelligible = Refusal(name: "", text: "its answer cannot be understood")

    private func call(_ method: String, signature: String, _ body: (inout DBusWriter) -> Void) throws(Refusal) -> DBusMessage {
        var message = DBusMessage()
        serial += 1
        (message.serial, message.path, message.interface) = (serial, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
        (message.member, message.signature) = (method, signature)
        var writer = DBusWriter()
        body(&writer)
        message.body = writer.bytes
        do throws(SystemError) { try socket.writeAll(message.bytes()) } catch { throw Refusal(name: "", text: "\(error)") }
        while true {
            let answer = try receive()
            switch answer.kind {
            case .reply where answer.replySerial == serial: return answer
            case .error where answer.replySerial == serial:
                var reader = DBusReader(answer.body[...])
                let text = answer.signature.hasPrefix("s") ? (try? reader.string()) : nil
                throw Refusal(name: answer.errorName, text: text ?? answer.errorName)
            case .signal: waiting.append(answer)
            default: continue
            }
        }
    }

    private func receive() throws(Refusal) -> DBusMessage {
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            do throws(DBusMessage.Malformed) {
                if received.count >= 16 {
                    let length = try DBusMessage.length(received[..<16])
                    if received.count >= length {
                        let message = try DBusMessage(parsing: received[..<length])
                        received.removeFirst(length)
                        return message
                    }
                }
            } catch { throw Self.unintelligible }
            do throws(SystemError) {
                guard try waitReadable(socket.rawValue, milliseconds: Self.patience) else { throw SystemError(.timedOut, "no answer") }
                let count = try socket.read(into: &buffer)
                guard count > 0 else { throw SystemError(.connectionReset, "it has closed the connection") }
                received += buffer[..<count]
            } catch { throw Refusal(name: "", text: "\(error)") }
        }
    }
}

/// A unit's properties, a(sv).
struct SystemdProperties {
    private var writer: DBusWriter

    fileprivate static func write(_ properties: (inout SystemdProperties) -> Void, to body: inout DBusWriter) {
        body.array(alignment: 8) { list in
            var all = SystemdProperties(writer: list)
            properties(&all)
            list = all.writer
        }
    }

    private mutating func add(_ name: String, _ signature: String, _ value: (inout DBusWriter) -> Void) {
        writer.align(8)
        writer.string(name)
        writer.signature(signature)
        value(&writer)
    }

    mutating func add(_ name: String, _ text: String) { add(name, "s") { $0.string(text) } }
    mutating func add(_ name: String, _ flag: Bool) { add(name, "b") { $0.boolean(flag) } }
    mutating func add(_ name: String, _ number: UInt64) { add(name, "t") { $0.uint64(number) } }
    mutating func add(_ name: String, processes: [UInt32]) {
        add(name, "au") { list in list.array(alignment: 4) { array in for pid in processes { array.uint32(pid) } } }
    }
}
