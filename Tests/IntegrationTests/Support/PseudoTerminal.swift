import Foundation
import Glibc
import Testing

/// A user at a terminal: the command has it as its controlling terminal, the test types and reads at the other end.
final class PseudoTerminal {
    private let master: Int32
    private let process = Process()
    private var screen = Data()

    init(_ program: String, _ arguments: [String], columns: UInt16 = 80, rows: UInt16 = 24) throws {
        master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard master >= 0, grantpt(master) == 0, unlockpt(master) == 0, let name = unsafe ptsname(master) else { throw POSIXError(.EIO) }
        let path = unsafe String(cString: name)
        resize(columns: columns, rows: rows)
        let slave = try #require(FileHandle(forUpdatingAtPath: path))
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setsid")
        // Foundation waits for whoever holds its socket, so a command that hangs must go, not just setsid.
        process.arguments = ["--ctty", "--wait", "timeout", "--foreground", "--signal=KILL", "100", program] + arguments
        process.standardInput = slave
        process.standardOutput = slave
        process.standardError = slave
        try process.run()
    }

    deinit { close(master) }

    func resize(columns: UInt16, rows: UInt16) {
        var size = winsize(ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = unsafe ioctl(master, UInt(TIOCSWINSZ), &size)
    }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe write(master, bytes, bytes.count)
    }

    /// Reads until the screen shows a text; what was up to it is consumed.
    @discardableResult
    func expect(_ text: String, limit: Double = 60, sourceLocation: SourceLocation = #_sourceLocation) -> String {
        let deadline = Date().addingTimeInterval(limit)
        while true {
            if let range = screen.range(of: Data(text.utf8)) {
                let seen = String(decoding: screen[..<range.upperBound], as: UTF8.self)
                screen.removeSubrange(..<range.upperBound)
                return seen
            }
            guard Date() < deadline, read() else {
                Issue.record("the terminal did not show \(text.debugDescription) but \(String(decoding: screen, as: UTF8.self).debugDescription)", sourceLocation: sourceLocation)
                return ""
            }
        }
    }

    /// What comes within a tenth of a second. False at the end.
    private func read() -> Bool {
        var event = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        guard unsafe poll(&event, 1, 100) > 0 else { return true }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe Glibc.read(master, &buffer, buffer.count)
        guard count > 0 else { return false }
        screen.append(contentsOf: buffer[..<count])
        return true
    }

    /// Waits for the command's end and returns its status.
    func wait(limit: Double = 60) -> Int32 {
        let deadline = Date().addingTimeInterval(limit)
        while process.isRunning {
            _ = read()
            if Date() > deadline {
                Issue.record("the command at the terminal did not end; it shows \(String(decoding: screen, as: UTF8.self).debugDescription)")
                break
            }
        }
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    }
}
