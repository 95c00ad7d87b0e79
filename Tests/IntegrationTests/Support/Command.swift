import Foundation
import Glibc
import Testing

/// What a command left behind.
struct Outcome {
    /// Exit status, or 128 plus the signal.
    var status: Int32
    var output: Data
    var error: Data
    var text: String { String(decoding: output, as: UTF8.self) }
    var errorText: String { String(decoding: error, as: UTF8.self) }
    /// The output without its last newline.
    var line: String { text.hasSuffix("\n") ? String(text.dropLast()) : text }
}

/// A command whose streams are files, so that no pipe can fill up behind the test's back.
final class Command {
    private let process = Process()
    private let folder: URL
    private let standardOutput: URL
    private let standardError: URL

    init(_ program: String, _ arguments: [String], input: Data? = nil, environment: [String: String] = [:]) throws {
        folder = URL(fileURLWithPath: "/tmp/nacelle-test-io.\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        standardOutput = folder.appendingPathComponent("out")
        standardError = folder.appendingPathComponent("err")
        let standardInput = folder.appendingPathComponent("in")
        try (input ?? Data()).write(to: standardInput)
        for file in [standardOutput, standardError] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = input == nil ? FileHandle.nullDevice : try FileHandle(forReadingFrom: standardInput)
        process.standardOutput = try FileHandle(forWritingTo: standardOutput)
        process.standardError = try FileHandle(forWritingTo: standardError)
        try process.run()
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var pid: Int32 { process.processIdentifier }
    func signal(_ number: Int32) { kill(pid, number) }
    func outputSoFar() -> String { (try? String(contentsOf: standardOutput, encoding: .utf8)) ?? "" }

    /// Waits for the end; after `limit` seconds the command is killed and the test fails.
    func wait(limit: Double = 120) throws -> Outcome {
        let deadline = Date().addingTimeInterval(limit)
        while process.isRunning {
            if Date() > deadline {
                process.terminate()
                kill(pid, SIGKILL)
                Issue.record("\(process.executableURL?.lastPathComponent ?? "") \(process.arguments ?? []) did not end in \(limit) s; stderr: \(errorSoFar())")
                break
            }
            usleep(20_000)
        }
        process.waitUntilExit()
        let status = process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
        return Outcome(status: status, output: try Data(contentsOf: standardOutput), error: try Data(contentsOf: standardError))
    }

    private func errorSoFar() -> String { (try? String(contentsOf: standardError, encoding: .utf8)) ?? "" }
}

/// Runs a command to its end.
@discardableResult
func run(_ program: String, _ arguments: [String], input: Data? = nil, environment: [String: String] = [:], limit: Double = 120) throws -> Outcome {
    try Command(program, arguments, input: input, environment: environment).wait(limit: limit)
}

/// Runs a shell command line of the host; fails the test unless it succeeds.
@discardableResult
func shell(_ line: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
    let outcome = try run("/bin/sh", ["-c", line])
    #expect(outcome.status == 0, "\(line): \(outcome.errorText)", sourceLocation: sourceLocation)
    return outcome.line
}

/// Waits until a condition holds; fails the test after `limit` seconds.
func eventually(_ what: String, limit: Double = 60, _ condition: () throws -> Bool) throws {
    let deadline = Date().addingTimeInterval(limit)
    while try !condition() {
        if Date() > deadline {
            Issue.record("not within \(limit) s: \(what)")
            return
        }
        usleep(50_000)
    }
}
