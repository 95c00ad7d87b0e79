import Foundation
import LinuxSystem
import OCISpec
import Testing

@testable import ContainerRuntime

@Suite("The configuration file")
struct ConfigurationFileTests {
    private func parse(_ text: String) throws(RuntimeError) -> ConfigurationFile { try ConfigurationFile(parsing: Array(text.utf8), path: "/c") }

    @Test("every setting")
    func everything() throws {
        let file = try parse("""
            # for all containers of this machine
            root = "/run/other"   # comment
            isolation = 'auto'
            debug=true
            log = "/var/log/nacelle.log"
            log_format = "json"\r

            [machine]
            memory = 1_024
            vcpus = 2
            boot_timeout = 90
            \t[ paths ] # more
            vmm = "/p/vmm"
            init = "/p/in\\u0069t"
            kernel = "/p/k\\t\\""
            guest_image = '/p/i\\'
            [[registry]]  # for those who fetch images
            prefix = "docker.io"
            [[registry.mirror]]
            location = "mirror.example.com"
            """)
        #expect(file.root == "/run/other" && file.isolation == .auto && file.debug == true && file.log == "/var/log/nacelle.log" && file.logFormat == .json)
        #expect(file.memory == 1024 && file.vcpus == 2 && file.bootTimeout == 90)
        #expect(file.monitor == "/p/vmm" && file.initProgram == "/p/init" && file.kernel == "/p/k\t\"" && file.image == "/p/i\\")
        #expect(try parse("[machine]\nmemory = \"2G\"").memory == 2048)
        #expect(try parse("") == parse("# nothing\n\n"))
    }

    @Test("what is wrong is named with its file, line and key", arguments: [
        ("memory = 1", "/c:1: memory: there is no such setting; there are root, isolation, debug, log, log_format, machine.memory"),
        ("\n[machine]\nvcpus = 0", "/c:3: machine.vcpus: a number from 1 to 64 is expected"),
        ("[machine]\nvcpus = \"1\"", "/c:2: machine.vcpus: a number from 1 to 64 is expected"),
        ("[machine]\nvcpus = 1.5", "/c:2: machine.vcpus: `1.5` is no value: a string in quotes, a whole number, true or false is expected"),
        ("[machine]\nvcpus = 01", "/c:2: machine.vcpus: `01` is no value"),
        ("[machine]\nvcpus = 1__0", "/c:2: machine.vcpus: `1__0` is no value"),
        ("[machine]\nvcpus = 0x10", "/c:2: machine.vcpus: `0x10` is no value"),
        ("[machine]\nmemory = 63", "/c:2: machine.memory: a size of 64 MiB or more is expected"),
        ("[machine]\nmemory = -512", "/c:2: machine.memory: a size of 64 MiB"),
        ("[machine]\nmemory = \"lots\"", "/c:2: machine.memory: a size of 64 MiB"),
        ("[machine]\nmemory = true", "/c:2: machine.memory: a size of 64 MiB"),
        ("[machine]\nmemory = 99999999999999999999", "/c:2: machine.memory: `99999999999999999999` is no value"),
        ("[machine]\nboot_timeout = 86401", "/c:2: machine.boot_timeout: a number from 1 to 86400 is expected"),
        ("isolation = \"vm\"", "/c:1: isolation: \"vm\" is not one of microvm, namespace, auto"),
        ("isolation = true", "/c:1: isolation: one of microvm, namespace, auto, in quotes is expected"),
        ("root = \"run\"", "/c:1: root: \"run\" is not an absolute path"),
        ("root = \"/a\\u0000\"", "/c:1: root: "),
        ("root = /run", "/c:1: root: `/run` is no value"),
        ("root = ", "/c:1: root: `` is no value"),
        ("root \"/run\"", "/c:1: root: `=` is missing"),
        ("debug = \"true\"", "/c:1: debug: true or false is expected"),
        ("debug = True", "/c:1: debug: `True` is no value"),
        ("debug = true false", "/c:1: unexpected `false`"),
        ("debug = true\ndebug = true", "/c:2: debug: is set already"),
        ("[machine]\n[machine]", "/c:2: [machine] is there already"),
        ("[machine", "/c:1: [machine: `]` is missing"),
        ("[machine] x", "/c:1: unexpected `x`"),
        ("[[machine]]", "/c:1: machine[0]: there is no such setting"),
        ("[a.b]", "/c:1: [a: `]` is missing"),
        ("a.b = 1", "/c:1: a: `=` is missing"),
        ("\"debug\" = true", "/c:1: a setting's name is expected"),
        ("= 1", "/c:1: a setting's name is expected"),
        ("log = \"/x", "/c:1: log: the string does not end"),
        ("log = '/x", "/c:1: log: the string does not end"),
        ("log = \"/x\\q\"", "/c:1: log: an escape that TOML does not have"),
        ("log = \"/x\\uD800\"", "/c:1: log: an escape that TOML does not have"),
        ("log = \"/x\\u12\"", "/c:1: log: an escape that TOML does not have"),
        ("log = \"\"\"/x\"\"\"", "/c:1: log: strings of several lines are not supported here"),
        ("log_format = \"xml\"", "/c:1: log_format: \"xml\" is not one of text, json"),
        ("[log]\nfile = \"/x\"", "/c:2: log.file: there is no such setting"),
        ("debug = true\u{0}", "/c:1: contains the control character 0"),
        ("debug = true\n\u{7F}", "/c:2: contains the control character 127"),
        ("{", "/c:1: a setting's name is expected"),
        ("ключ = 1", "/c:1: a setting's name is expected"),
    ])
    func wrong(_ text: String, _ expected: String) {
        let complaint = message { () throws(RuntimeError) in try parse(text) }
        #expect(complaint?.hasPrefix(expected) == true, "\(complaint ?? "accepted")")
    }

    @Test("bytes that are no UTF-8, and every prefix and mutation of a good file, are refused or read, never more")
    func hostile() {
        #expect(message { () throws(RuntimeError) in try ConfigurationFile(parsing: [0x64, 0x0A, 0x30], path: "/c") } == "/c:1: d: `=` is missing")
        #expect(message { () throws(RuntimeError) in try ConfigurationFile(parsing: [0x0A, 0x23, 0xFF], path: "/c") } == "/c:2: is not UTF-8")
        let good = Array("root = \"/r\\u0061\"\n[machine]\nmemory = 1_000\r\n[paths]\nvmm = '/v'\n".utf8)
        for length in 0..<good.count { _ = message { () throws(RuntimeError) in try ConfigurationFile(parsing: Array(good[..<length]), path: "/c") } }
        for position in good.indices {
            for byte in [0, 9, 10, 13, 34, 39, 61, 91, 92, 93, 95, 128, 255] as [UInt8] {
                var bytes = good
                bytes[position] = byte
                _ = message { () throws(RuntimeError) in try ConfigurationFile(parsing: bytes, path: "/c") }
            }
        }
    }

    @Test("the machine: vm section, annotation, the limits, the file, the default")
    func machine() throws {
        var components = Components(monitor: "/m", kernel: "/k", image: "/i")
        components.configuration = try parse("[machine]\nmemory = 300\nvcpus = 3\nboot_timeout = 7")
        var spec = RuntimeSpec()
        var settings = try MachineSettings(spec, components: components)
        #expect(settings.memory == 300 && settings.vcpus == 3 && settings.bootTimeout == 7)
        spec.linux = LinuxSpec()
        spec.linux?.resources = ResourcesSpec()
        spec.linux?.resources?.memory = .init()
        spec.linux?.resources?.memory?.limit = 100 << 20
        settings = try MachineSettings(spec, components: components)
        #expect(settings.memory == 100 + MachineSettings.overhead)
        spec.annotations = ["dev.nacelle.memory": "200", "dev.nacelle.vcpus": "2", "dev.nacelle.boot_timeout": "8"]
        settings = try MachineSettings(spec, components: components)
        #expect(settings.memory == 200 && settings.vcpus == 2 && settings.bootTimeout == 8)
    }

    @Test("files: the environment, the file, what is found")
    func files() throws {
        let file = try parse("[paths]\nvmm = \"/f/vmm\"\nkernel = \"/f/k\"")
        let found = Components.locate(file)
        #expect(found.monitor == "/f/vmm" && found.kernel == "/f/k" && !found.image.hasPrefix("/f"))
    }

    @Test("isolation: flag, annotation, program's name, file, microvm")
    func isolation() throws {
        let fixture = try Fixture()
        func resolve(flag: IsolationChoice? = nil, annotation: String? = nil, name: String = "nacelle-oci", configured: IsolationChoice?) throws(RuntimeError) -> Isolation {
            var spec = RuntimeSpec()
            if let annotation { spec.annotations["dev.nacelle.isolation"] = annotation }
            return try IsolationChoice.resolve(flag: flag, spec, programName: name, configured: configured, log: fixture.log) { nil }
        }
        #expect(try resolve(configured: nil) == .microVM && resolve(configured: .namespace) == .namespace)
        #expect(try resolve(flag: .microvm, configured: .namespace) == .microVM && resolve(annotation: "microvm", configured: .namespace) == .microVM)
        #expect(try resolve(name: "nacelle-oci-namespace", configured: .microvm) == .namespace)
    }

    @Test("nacelle-oci reads the file that --config or NACELLE_CONFIG names, and doctor tells what is wrong with it", .requiresProgram)
    func commands() throws {
        let fixture = try Fixture()
        let path = fixture.folder + "/config.toml"
        func oci(_ text: String, environment: [String: String] = [:], _ arguments: [String]) throws -> (status: Int32, output: String, error: String) {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            let process = Process()
            let (output, error) = (Foundation.Pipe(), Foundation.Pipe())
            process.executableURL = URL(fileURLWithPath: Built.program ?? "")
            (process.arguments, process.environment, process.standardOutput, process.standardError) = (arguments, environment, output, error)
            try process.run()
            let texts = [output, error].map { String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) }
            process.waitUntilExit()
            return (process.terminationStatus, texts[0], texts[1])
        }
        let states = fixture.folder + "/states"
        try FileManager.default.createDirectory(atPath: states + "/c", withIntermediateDirectories: true)
        for arguments in [["--config", path, "list", "-q"], ["--config=\(path)", "list", "-q"]] {
            #expect(try oci("root = \"\(states)\"", arguments).output == "c\n")
        }
        #expect(try oci("root = \"\(states)\"", environment: ["NACELLE_CONFIG": path], ["list", "-q"]).output == "c\n")
        // The flag comes first, in plain command lines as well.
        let state = try oci("root = \"\(states)\"", ["--config", path, "--root", fixture.folder + "/none", "state", "c"])
        #expect(state.status == 1 && state.error.contains("container does not exist"), "\(state)")
        let log = fixture.folder + "/the.log"
        let logged = try oci("root = \"\(states)\"\nlog = \"\(log)\"\nlog_format = \"json\"", ["--config", path, "state", "none"])
        #expect(logged.status == 1 && fixture.text(of: "the.log")?.hasPrefix("{\"level\":\"error\"") == true, "\(logged) \(fixture.text(of: "the.log") ?? "")")

        for verb in [["state", "c"], ["list"], ["create", "c"]] {
            let outcome = try oci("rot = 1", ["--config", path] + verb)
            #expect(outcome.status == 1 && outcome.error.contains("\(path):1: rot: there is no such setting"), "\(outcome)")
        }
        let missing = try oci("", ["--config", "/nonexistent/c.toml", "list"])
        #expect(missing.status == 1 && missing.error.contains("cannot read the configuration file: open /nonexistent/c.toml: no such file or directory"), "\(missing)")
        let doctor = try oci("rot = 1", ["--config", path, "doctor"])
        #expect(doctor.status == 1 && doctor.output.contains("FAIL  configuration: \(path):1: rot: there is no such setting"), "\(doctor)")
        #expect(try oci("debug = true", ["--config", path, "doctor"]).output.contains("ok    configuration: \(path)\n"))
        let large = try oci(String(repeating: "# comment\n", count: 10_000), ["--config", path, "list"])
        #expect(large.status == 1 && large.error.contains("file too large"), "\(large)")
    }
}
