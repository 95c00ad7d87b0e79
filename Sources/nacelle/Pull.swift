import ArgumentParser
import ContainerEngine
import ContainerRuntime
import Glibc
import ImageStore
import JSONText
import LinuxSystem
import OCIImage
import RegistryClient

struct Pull: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch images from registries.",
        discussion: "busybox is docker.io/library/busybox:latest. Which registries are mirrored, plain or blocked is in /etc/nacelle/config.toml; credentials are podman's and Docker's.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Print the id only.") var quiet = false
    @Option(help: "Platform, such as linux/arm64; this machine's.") var platform: String?
    @Option(help: "false: the registry may have no certificate, or no TLS.") var tlsVerify = true
    @Argument(help: "Names.") var images: [String]

    func run() throws {
        let engine = try parent.engine()
        let platform = try Transfers.platform(platform)
        try Output.each(images) { (name) throws(EngineError) in
            Output.line(try Transfers.pull(name, platform: platform, tlsVerify: tlsVerify, isQuiet: quiet, engine).id.hex)
        }
    }
}

struct Push: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "push", abstract: "Send an image to a registry; print its digest.")
    @ParentCommand var parent: Nacelle
    @Flag(name: [.short, .long], help: "Show no progress.") var quiet = false
    @Option(help: "false: the registry may have no certificate, or no TLS.") var tlsVerify = true
    @Argument(help: "Name or id.") var image: String
    @Argument(help: "Its name at the registry; the same name otherwise.") var destination: String?

    func run() throws {
        let engine = try parent.engine()
        let found = try engine.images.image(image)
        if destination == nil && found.name == nil { throw EngineError("push: \(quoted(image)) has no name: say under which it is to be pushed") }
        let reference = try Images.reference(destination ?? found.name ?? image)
        guard reference.digest == nil else { throw EngineError("push: \(reference) names a digest, which the content has by itself: write a tag") }
        Output.line("\(try Transfers.push(found, to: reference, tlsVerify: tlsVerify, isQuiet: quiet, engine))")
    }
}

struct Login: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "login", abstract: "Keep a user's name and password for a registry.",
        discussion: "The registry is asked first. They are kept where podman looks, too: in $REGISTRY_AUTH_FILE, or in podman's own file if that has some for the registry, or in ~/.config/containers/auth.json.")
    @ParentCommand var parent: Nacelle
    @Option(name: [.short, .long], help: "User; asked for on a terminal.") var username: String?
    @Option(name: [.short, .long], help: "Password. Others can see it in the list of processes; better --password-stdin.") var password: String?
    @Flag(help: "Read the password from standard input.") var passwordStdin = false
    @Option(help: "false: the registry may have no certificate, or no TLS.") var tlsVerify = true
    @Argument(help: "Registry; docker.io.") var registry = Reference.defaultDomain

    func run() throws {
        let engine = try parent.engine()
        if password != nil && passwordStdin { throw EngineError("login: --password and --password-stdin exclude each other") }
        guard let user = try username ?? Question.ask("Username: ", isSecret: false), !user.isEmpty else { throw EngineError("login: a user is expected: --username NAME") }
        let secret: String?
        if passwordStdin { secret = try Question.line() } else { secret = try password ?? Question.ask("Password: ", isSecret: true) }
        guard let secret, !secret.isEmpty else { throw EngineError("login: a password is expected: --password-stdin reads one") }
        let file = try Transfers.login(registry, .password(user: user, password: secret), tlsVerify: tlsVerify, engine)
        Output.line("Login succeeded; kept in \(file)")
    }
}

struct Logout: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "logout", abstract: "Forget the user and password of a registry.")
    @Argument(help: "Registry; docker.io.") var registry = Reference.defaultDomain

    func run() throws {
        guard try Transfers.logout(registry) else { throw EngineError("logout: nobody is logged in to \(registry)") }
        Output.line("Removed the credentials for \(registry)")
    }
}

/// Asks the user.
enum Question {
    /// nil where there is no terminal to ask on.
    static func ask(_ text: String, isSecret: Bool) throws -> String? {
        guard isatty(0) == 1 else { return nil }
        Output.write(text, to: 2)
        guard isSecret else { return try line() }
        let terminal = UserTerminal()
        defer {
            terminal.restore()
            Output.write("\n", to: 2)
        }
        var typed: [UInt8] = []
        let input = try OwnedDescriptor(duplicating: 0)
        var buffer = [UInt8](repeating: 0, count: 1)
        while typed.count < 4096, try input.read(into: &buffer) > 0 {
            switch buffer[0] {
            case 0x0A, 0x0D, 0x04: return String(decoding: typed, as: UTF8.self)
            case 0x03: throw ExitCode(130)
            case 0x08, 0x7F: _ = typed.popLast()
            default: typed.append(buffer[0])
            }
        }
        return String(decoding: typed, as: UTF8.self)
    }

    /// The first line of standard input, without its end.
    static func line() throws -> String {
        let input = try OwnedDescriptor(duplicating: 0)
        var read: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1)
        while read.count < 65536, try input.read(into: &buffer) > 0, buffer[0] != 0x0A { read.append(buffer[0]) }
        if read.last == 0x0D { read.removeLast() }
        return String(decoding: read, as: UTF8.self)
    }
}
