// Not the whole module: it has a protocol named Digest.
import struct Crypto.SHA256
import struct Crypto.SHA512
public import OCIImage

/// Computes a digest from bytes as they come.
public struct ContentHash: Sendable {
    private enum State: Sendable {
        case sha256(SHA256)
        case sha512(SHA512)
    }
    private var state: State
    /// How many bytes came.
    public private(set) var count: Int64 = 0

    public init(_ algorithm: Digest.Algorithm) {
        switch algorithm {
        case .sha256: state = .sha256(SHA256())
        case .sha512: state = .sha512(SHA512())
        }
    }

    /// Takes the next bytes.
    public mutating func update(_ bytes: [UInt8]) {
        count += Int64(bytes.count)
        switch state {
        case .sha256(var hash):
            // Two owners would copy the hash's state with each call.
            state = .sha256(SHA256())
            hash.update(data: bytes)
            state = .sha256(hash)
        case .sha512(var hash):
            state = .sha512(SHA512())
            hash.update(data: bytes)
            state = .sha512(hash)
        }
    }

    /// The digest of what came so far.
    public var digest: Digest {
        let (algorithm, hash): (Digest.Algorithm, [UInt8]) =
            switch state {
            case .sha256(let hash): (.sha256, Array(hash.finalize()))
            case .sha512(let hash): (.sha512, Array(hash.finalize()))
            }
        guard let digest = Digest(algorithm, hash: hash) else { preconditionFailure("a hash has another length than its algorithm's") }
        return digest
    }
}

extension Digest {
    /// The digest of bytes.
    public init(of bytes: [UInt8], _ algorithm: Algorithm = .sha256) {
        var hash = ContentHash(algorithm)
        hash.update(bytes)
        self = hash.digest
    }
}
