import Foundation
import OCIImage
import Testing

@testable import RegistryClient

@Suite("credentials")
struct CredentialTests {
    private static let alice = Credential.password(user: "alice", password: "a:b")
    /// alice:a:b
    private static let aliceText = "YWxpY2U6YTpi"

    private func write(_ text: String, _ path: String, mode: Int = 0o600) throws {
        try FileManager.default.createDirectory(atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func credential(_ text: String, _ domain: String, _ path: String = "") async throws -> Credential? {
        try await withTemporaryDirectory { directory in
            try write(text, directory + "/auth.json")
            return try await CredentialFiles(paths: [directory + "/auth.json"], environment: [:]).credential(domain: domain, path: path)
        }
    }

    @Test("an entry is found by the longest part of the name", arguments: [
        (#"{"auths":{"example.com":{"auth":"YWxpY2U6YTpi"}}}"#, "example.com", "x/y", alice),
        (#"{"auths":{"example.com":{"auth":"Yjpj"},"example.com/x":{"auth":"YWxpY2U6YTpi"},"example.com/x/y/z":{"auth":"Yjpj"}}}"#, "example.com", "x/y", alice),
        (#"{"auths":{"https://example.com/v1/":{"auth":"YWxpY2U6YTpi"}}}"#, "example.com", "x", alice),
        (#"{"auths":{"https://index.docker.io/v1/":{"auth":"YWxpY2U6YTpi"}}}"#, "docker.io", "library/x", alice),
        (#"{"auths":{"docker.io":{"auth":"YWxpY2U6YTpi"}}}"#, "docker.io", "library/x", alice),
        (#"{"auths":{"example.com":{"auth":"YWxpY2U6YTpi"}}}"#, "example.com:5000", "x", nil),
        (#"{"auths":{"example.com":{"auth":"YWxpY2U6YTpi"}}}"#, "xexample.com", "x", nil),
        (#"{"auths":{"example.com":{}}}"#, "example.com", "x", nil),
        (#"{"auths":{"example.com":{"auth":"Yjpj","identitytoken":"t"}}}"#, "example.com", "x", .identityToken("t")),
        (#"{"auths":{"example.com":{"registrytoken":"t"}}}"#, "example.com", "x", .registryToken("t")),
        ("{}", "example.com", "x", nil), ("", "example.com", "x", nil), ("\n", "example.com", "x", nil),
    ] as [(String, String, String, Credential?)])
    func entries(text: String, domain: String, path: String, expected: Credential?) async throws {
        #expect(try await credential(text, domain, path) == expected)
    }

    @Test("a file that is not what it should be is refused by its name", arguments: [
        "[]", "{", #"{"auths":[]}"#, #"{"auths":{"example.com":{"auth":"!"}}}"#, #"{"auths":{"example.com":{"auth":"YQ=="}}}"#, #"{"auths":{"example.com":7}}"#, #"{"credHelpers":{"example.com":"../x"}}"#, #"{"credsStore":"a b"}"#,
    ])
    func malformed(text: String) async throws {
        do {
            _ = try await credential(text, "example.com")
            Issue.record("accepted")
        } catch let error as RegistryError { #expect(error.code == .credentials) }
    }

    @Test("files are looked at in podman's order, and Docker's last")
    func order() async throws {
        #expect(CredentialFiles(environment: ["HOME": "/h", "XDG_RUNTIME_DIR": "/r"]).paths == ["/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"])
        #expect(CredentialFiles(environment: ["HOME": "/h", "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d"]).paths == ["/c/containers/auth.json", "/d/config.json"])
        #expect(CredentialFiles(environment: ["HOME": "/h", "REGISTRY_AUTH_FILE": "/f"]).paths == ["/f"])
        #expect(CredentialFiles(environment: [:]).paths.isEmpty)
        #expect(ClientConfiguration.certificateDirectories(environment: ["HOME": "/h"]) == ["/h/.config/containers/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"])
        #expect(ClientConfiguration.certificateDirectories(environment: [:]) == ClientConfiguration().certificateDirectories)
        try await withTemporaryDirectory { directory in
            try write(#"{"auths":{"a":{"auth":"Yjpj"}}}"#, directory + "/.docker/config.json")
            let files = CredentialFiles(environment: ["HOME": directory])
            #expect(try await files.credential(domain: "a", path: "") == .password(user: "b", password: "c"))
            try write(#"{"auths":{"a":{"auth":"YWxpY2U6YTpi"}}}"#, directory + "/.config/containers/auth.json")
            #expect(try await files.credential(domain: "a", path: "") == Self.alice)
        }
    }

    // Helpers.

    private func withHelper(_ script: String, _ file: String = #"{"credHelpers":{"example.com":"test","docker.io":"test"}}"#, _ timeout: Duration = .seconds(20), _ body: (CredentialFiles, String) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            try write("#!/bin/sh\n" + script, directory + "/bin/docker-credential-test", mode: 0o755)
            try write(file, directory + "/auth.json")
            var files = CredentialFiles(paths: [directory + "/auth.json"], environment: ["PATH": "/nowhere:\(directory)/bin:/usr/bin:/bin", "STORE": directory + "/stored"])
            files.helperTimeout = timeout
            try await body(files, directory)
        }
    }

    @Test("a helper is asked for its registry")
    func helper() async throws {
        try await withHelper(#"read server; [ "$1" = get ] && [ "$server" = example.com ] && echo '{"ServerURL":"x","Username":"alice","Secret":"a:b"}'"#) { (files: CredentialFiles, _: String) async throws in
            #expect(try await files.credential(domain: "example.com", path: "x") == Self.alice)
            #expect(try await files.credential(domain: "other.com", path: "x") == nil)
        }
        try await withHelper(#"echo '{"Username":"<token>","Secret":"t"}'"#, #"{"auths":{"example.com":{}},"credsStore":"test"}"#) { (files: CredentialFiles, _: String) async throws in
            #expect(try await files.credential(domain: "example.com", path: "x") == .identityToken("t"))
        }
        try await withHelper("echo credentials not found in native keychain; exit 1") { (files: CredentialFiles, _: String) async throws in #expect(try await files.credential(domain: "docker.io", path: "x") == nil) }
    }

    @Test("a helper of a namespace is for what is in it, and before that of the registry")
    func helperOfNamespace() async throws {
        let file = #"{"credHelpers":{"example.com/team":"test","example.com/team/open":"none"},"auths":{"example.com":{"auth":"Yjpj"}}}"#
        // It knows registries only, as most do.
        try await withHelper(#"read server; echo "$server" >>"$STORE"; [ "$server" = example.com ] || { echo credentials not found in native keychain; exit 1; }; echo '{"Username":"alice","Secret":"a:b"}'"#, file) { (files: CredentialFiles, directory: String) async throws in
            #expect(try await files.credential(domain: "example.com", path: "team/app/x") == Self.alice)
            #expect(try String(contentsOfFile: directory + "/stored", encoding: .utf8) == "example.com/team\nexample.com\n")
            #expect(try await files.credential(domain: "example.com", path: "teams/app") == .password(user: "b", password: "c"))
            #expect(try await files.credential(domain: "example.com", path: "") == .password(user: "b", password: "c"))
            #expect(await failure { try await files.credential(domain: "example.com", path: "team/open") }?.description.contains("docker-credential-none") == true)
        }
    }

    @Test("a helper that does not do what it should is told of, and does not hold anybody", arguments: [
        ("echo locked; exit 3", #"locked"#), ("exit 3", "exit status 3"), ("kill -9 $$", "killed by signal 9"), ("echo '['", "its answer"), ("echo '{}'", "its answer: Username: is missing"),
        ("sleep 600", "has not answered"), ("exec >&-; sleep 600", "has not ended"), ("head -c 1000000 /dev/zero; sleep 600", "prints more than"),
    ])
    func badHelpers(script: String, problem: String) async throws {
        // The time is only waited for by those that never end.
        try await withHelper(script, #"{"credHelpers":{"example.com":"test"}}"#, script.contains("sleep 600") && !script.contains("head") ? .milliseconds(300) : .seconds(60)) { (files: CredentialFiles, _: String) async throws in
            let error = await failure { try await files.credential(domain: "example.com", path: "x") }
            #expect(error?.code == .credentials)
            #expect(error?.description.contains("docker-credential-test") == true && error?.description.contains(problem) == true, "\(error?.description ?? "")")
        }
    }

    @Test("a helper that is ended takes its children along")
    func helperWithChildren() async throws {
        try await withHelper(#"sh -c 'echo $$ >"$STORE"; exec sleep 600' & sleep 600"#, #"{"credHelpers":{"example.com":"test"}}"#, .seconds(3)) { (files: CredentialFiles, directory: String) async throws in
            #expect(await failure { try await files.credential(domain: "example.com", path: "x") }?.description.contains("has not answered") == true)
            let child = try #require(try Int32(String(contentsOfFile: directory + "/stored", encoding: .utf8).trimmed))
            // It is gone, or nobody has waited for it yet.
            func isAlive() -> Bool {
                let state = (try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8))?.split(separator: ")").last?.dropFirst().first
                return state != nil && state != "Z" && state != "X"
            }
            for _ in 0..<200 where isAlive() { try await Task.sleep(for: .milliseconds(10)) }
            #expect(!isAlive())
        }
    }

    @Test("a helper that is not there is told of")
    func noHelper() async throws {
        let error = await failure { try await credential(#"{"credHelpers":{"example.com":"missing"}}"#, "example.com") }
        #expect(error?.description.contains("docker-credential-missing") == true)
    }

    // login and logout.

    @Test("what is stored is found again, for its owner alone, and other entries stay")
    func store() async throws {
        try await withTemporaryDirectory { directory in
            let files = CredentialFiles(environment: ["HOME": directory])
            let path = directory + "/.config/containers/auth.json"
            #expect(try await files.store(Self.alice, for: "example.com") == path)
            #expect(try await files.credential(domain: "example.com", path: "x") == Self.alice)
            #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
            try write(#"{"unknown":[1],"auths":{"other.com":{"auth":"Yjpj","email":"e"}}}"#, path)
            try await files.store(.identityToken("t"), for: "docker.io")
            #expect(try await files.credential(domain: "docker.io", path: "x") == .identityToken("t"))
            #expect(try await files.credential(domain: "other.com", path: "") == .password(user: "b", password: "c"))
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(text.contains("unknown") && text.contains("email"))
            #expect(try await files.remove("docker.io"))
            #expect(try await !files.remove("docker.io"))
            #expect(try await files.credential(domain: "docker.io", path: "x") == nil)
            #expect(try FileManager.default.contentsOfDirectory(atPath: (path as NSString).deletingLastPathComponent) == ["auth.json"])
        }
    }

    @Test("what podman keeps of a registry until the next boot does not hide what is stored, and goes with it")
    func runtimeFile() async throws {
        try await withTemporaryDirectory { directory in
            let runtime = directory + "/run/containers/auth.json"
            try write(#"{"auths":{"a":{"auth":"Yjpj"},"b":{"auth":"Yjpj"}}}"#, runtime)
            let files = CredentialFiles(environment: ["HOME": directory, "XDG_RUNTIME_DIR": directory + "/run"])
            #expect(try await files.store(Self.alice, for: "a") == runtime)
            #expect(try await files.credential(domain: "a", path: "") == Self.alice)
            #expect(try await files.store(Self.alice, for: "c") == directory + "/.config/containers/auth.json")
            // As if an older version had been there before podman.
            try write(#"{"auths":{"a":{"auth":"Yjpj"}}}"#, directory + "/.config/containers/auth.json")
            #expect(try await files.remove("a"))
            #expect(try await files.credential(domain: "a", path: "") == nil)
            #expect(try await !files.remove("a"))
            #expect(try await files.credential(domain: "b", path: "") == .password(user: "b", password: "c"))
        }
    }

    @Test("a helper keeps what is stored when the file says so")
    func storeWithHelper() async throws {
        try await withHelper(#"case $1 in store) cat >$STORE;; erase) rm $STORE;; get) cat $STORE 2>/dev/null || { echo credentials not found in native keychain; exit 1; };; esac"#) { (files: CredentialFiles, directory: String) async throws in
            #expect(try await files.store(Self.alice, for: "example.com") == "docker-credential-test")
            let stored = try String(contentsOfFile: directory + "/stored", encoding: .utf8)
            #expect(stored == #"{"ServerURL":"example.com","Username":"alice","Secret":"a:b"}"#)
            #expect(try await files.credential(domain: "example.com", path: "") == Self.alice)
            #expect(try await files.remove("example.com"))
            #expect(try await !files.remove("example.com"))
            let text = try String(contentsOfFile: directory + "/auth.json", encoding: .utf8)
            #expect(!text.contains("alice"))
        }
    }

    @Test("a credential's text has no secret")
    func text() {
        for credential in [Self.alice, .identityToken("a:b"), .registryToken("a:b")] { #expect(!"\(credential)".contains("a:b")) }
    }
}
