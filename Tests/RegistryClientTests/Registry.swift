import Foundation
import Testing

@testable import RegistryClient

/// Debian's docker-registry on a port of loopback that it chooses itself.
struct Registry: Sendable {
    let port: Int
    /// Certificates, for those with TLS.
    let directory: String
    var authority: String { "localhost:\(port)" }

    static let program = "/usr/bin/docker-registry"
    static var isInstalled: Bool { FileManager.default.isExecutableFile(atPath: program) }

    enum Access { case open, password, tls, clientCertificate }

    /// bcrypt of `geheim`.
    static let passwordFile = "alice:$2b$05$QsZM7FUKsHXfvx5rRVX9gOqA7026qYlmf12TFLPbfbfW4StQd3Ma6\n"

    /// Runs `body` with a registry that is gone afterwards.
    static func with(_ access: Access = .open, _ body: (Registry) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            var http = "  addr: 127.0.0.1:0\n"
            var auth = ""
            switch access {
            case .open: break
            case .password:
                try passwordFile.write(toFile: directory + "/htpasswd", atomically: true, encoding: .utf8)
                auth = "auth:\n  htpasswd:\n    realm: test\n    path: \(directory)/htpasswd\n"
            case .tls, .clientCertificate:
                try makeCertificates(directory)
                http += "  tls:\n    certificate: \(directory)/server.crt\n    key: \(directory)/server.key\n"
                if case .clientCertificate = access { http += "    clientcas:\n      - \(directory)/ca.crt\n" }
            }
            let text = "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: \(directory)/store\n  delete:\n    enabled: true\nhttp:\n\(http)\(auth)"
            try text.write(toFile: directory + "/config.yml", atomically: true, encoding: .utf8)
            let process = Process()
            // It is ended by its signal, or when this process is gone, however that ended.
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = [
                "-c", #"trap 'kill $pid' TERM; "$0" serve "$1" & pid=$!; while kill -0 "$2" 2>/dev/null && kill -0 $pid 2>/dev/null; do sleep 0.2; done; kill $pid 2>/dev/null; wait $pid"#, program,
                directory + "/config.yml", "\(ProcessInfo.processInfo.processIdentifier)",
            ]
            let log = directory + "/log"
            try "".write(toFile: log, atomically: true, encoding: .utf8)
            process.standardOutput = FileHandle(forWritingAtPath: log)
            process.standardError = FileHandle(forWritingAtPath: log)
            let (ended, signal) = AsyncStream.makeStream(of: Void.self)
            process.terminationHandler = { _ in signal.finish() }
            try process.run()
            let outcome = await settled { try await serve(process, log, directory, body) }
            process.terminate()
            for await _ in ended {}
            try outcome.get()
        }
    }

    private static func serve(_ process: Process, _ log: String, _ directory: String, _ body: (Registry) async throws -> Void) async throws {
        var port: Int?
        while port == nil {
            try await Task.sleep(for: .milliseconds(10))
            let lines = try String(contentsOfFile: log, encoding: .utf8)
            try #require(process.isRunning, "docker-registry ended: \(lines)")
            // `listening on 127.0.0.1:40123`
            port = lines.firstRange(of: "listening on 127.0.0.1:").flatMap { range in
                let rest = lines[range.upperBound...]
                return rest.contains("\n") ? Int(rest.prefix { $0.isNumber }) : nil
            }
        }
        try await body(Registry(port: try #require(port), directory: directory))
    }

    /// An authority of the test's own, and what it vouches for: `localhost`, and a client.
    private static func makeCertificates(_ directory: String) throws {
        func openssl(_ arguments: String) throws {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "cd \(directory) && openssl \(arguments) 2>>openssl.log"]
            try process.run()
            process.waitUntilExit()
            try #require(process.terminationStatus == 0, "openssl: \((try? String(contentsOfFile: directory + "/openssl.log", encoding: .utf8)) ?? "")")
        }
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        try openssl("req -x509 \(key) -keyout ca.key -out ca.crt -days 2 -subj '/CN=test authority' -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign'")
        for (name, more) in [("server", "subjectAltName=DNS:localhost"), ("client", "extendedKeyUsage=clientAuth")] {
            try more.write(toFile: "\(directory)/\(name).ext", atomically: true, encoding: .utf8)
            try openssl("req \(key) -keyout \(name).key -out \(name).csr -subj '/CN=\(name)'")
            try openssl("x509 -req -in \(name).csr -CA ca.crt -CAkey ca.key -CAcreateserial -out \(name).crt -days 2 -extfile \(name).ext")
        }
    }
}
