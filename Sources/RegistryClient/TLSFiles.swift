import Glibc
import LinuxSystem
import NIOSSL

/// The certificates of one registry, from a directory as Docker and podman have them (containers-certs.d(5)): `*.crt` are authorities that are trusted besides the system's,
/// `NAME.cert` with `NAME.key` is what this client shows.
enum TLSFiles {
    /// The settings for a registry, with what the first directory holds that has one for it.
    /// - Parameters:
    ///   - name: `host` or `host:port`.
    ///   - verifies: false: any certificate is taken.
    static func settings(for name: String, in directories: [String], verifies: Bool) throws(RegistryError) -> TLSConfiguration {
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        if !verifies { settings.certificateVerification = .none }
        // A domain of a reference has no slash; that of a redirect has been looked at (HTTPAddress).
        for directory in directories.map({ "\($0)/\(name)" }) {
            guard let names = try entries(of: directory) else { continue }
            var authorities: [NIOSSLCertificate] = []
            var clients: [String] = []
            for name in names {
                let path = "\(directory)/\(name)"
                if name.hasSuffix(".crt") {
                    authorities += try certificates(path)
                } else if name.hasSuffix(".cert") {
                    let key = name.dropLast("cert".count) + "key"
                    guard names.contains(String(key)) else {
                        throw RegistryError(.configuration, "\(path): the key \(key) is missing (an authority's certificate must be named *.crt)")
                    }
                    clients.append(name)
                } else if name.hasSuffix(".key") {
                    let certificate = name.dropLast("key".count) + "cert"
                    guard names.contains(String(certificate)) else { throw RegistryError(.configuration, "\(path): the certificate \(certificate) is missing") }
                }
            }
            guard clients.count <= 1 else { throw RegistryError(.configuration, "\(directory): there is more than one client certificate (\(clients.joined(separator: ", "))); leave one") }
            if !authorities.isEmpty { settings.additionalTrustRoots = [.certificates(authorities)] }
            if let client = clients.first {
                settings.certificateChain = try certificates("\(directory)/\(client)").map { .certificate($0) }
                settings.privateKey = .privateKey(try key("\(directory)/\(client.dropLast("cert".count))key"))
            }
            break
        }
        return settings
    }

    /// The names in order; nil when there is no such directory.
    private static func entries(of path: String) throws(RegistryError) -> [String]? {
        do throws(SystemError) {
            return try OwnedDescriptor(opening: path, flags: O_RDONLY | O_DIRECTORY).entries().sorted()
        } catch {
            if [.noSuchFile, .notDirectory].contains(error.errno) { return nil }
            throw RegistryError(.configuration, "certificates: \(error)")
        }
    }

    private static func certificates(_ path: String) throws(RegistryError) -> [NIOSSLCertificate] {
        do { return try NIOSSLCertificate.fromPEMBytes(try readFile(path, limit: 4 << 20)) } catch { throw failure(path, error, "certificates in PEM form") }
    }

    private static func key(_ path: String) throws(RegistryError) -> NIOSSLPrivateKey {
        do { return try NIOSSLPrivateKey(bytes: try readFile(path, limit: 1 << 20), format: .pem) } catch { throw failure(path, error, "a private key in PEM form") }
    }

    private static func failure(_ path: String, _ error: any Error, _ expected: String) -> RegistryError {
        RegistryError(.configuration, error is SystemError ? "\(error)" : "\(path): does not hold \(expected) (\(error))")
    }
}
