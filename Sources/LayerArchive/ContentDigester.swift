internal import Crypto
public import OCIImage

/// Computes the digest of content while it passes by (image-spec, descriptor.md, "Digests").
public struct ContentDigester: Sendable {
    private enum State: Sendable {
        case sha256(SHA256)
        case sha512(SHA512)
    }
    private var state: State

    /// Begins with no bytes.
    public init(_ algorithm: OCIImage.Digest.Algorithm = .sha256) {
        switch algorithm {
        case .sha256: state = .sha256(SHA256())
        case .sha512: state = .sha512(SHA512())
        }
    }

    /// Adds the next bytes.
    public mutating func update(_ bytes: RawSpan) {
        // SAFETY: the pointer is used within the closure only.
        unsafe bytes.withUnsafeBytes { buffer in
            switch state {
            case .sha256(var hash):
                // Taken out first, or the hash's state would be copied for each piece.
                state = .sha256(SHA256())
                unsafe hash.update(bufferPointer: buffer)
                state = .sha256(hash)
            case .sha512(var hash):
                state = .sha512(SHA512())
                unsafe hash.update(bufferPointer: buffer)
                state = .sha512(hash)
            }
        }
    }

    /// Adds the next bytes.
    public mutating func update(_ bytes: [UInt8]) { unsafe update(bytes.span.bytes) }
    /// Adds the next bytes.
    public mutating func update(_ bytes: ArraySlice<UInt8>) { unsafe update(bytes.span.bytes) }

    /// The digest of all bytes so far.
    public func finish() -> OCIImage.Digest {
        let digest = switch state {
        case .sha256(let hash): OCIImage.Digest(.sha256, hash: hash.finalize())
        case .sha512(let hash): OCIImage.Digest(.sha512, hash: hash.finalize())
        }
        guard let digest else { preconditionFailure("a hash has the length of its algorithm") }
        return digest
    }

    /// The digest of bytes in memory.
    public static func digest(of bytes: [UInt8], _ algorithm: OCIImage.Digest.Algorithm = .sha256) -> OCIImage.Digest {
        var digester = ContentDigester(algorithm)
        digester.update(bytes)
        return digester.finish()
    }
}
