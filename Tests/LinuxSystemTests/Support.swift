import Glibc
import LinuxSystem
import Testing

let isRoot = geteuid() == 0

/// How many descriptors the process has. The test library's threads make some that stand for no file (epoll, eventfd) when they please.
func openDescriptorCount(withAnonymous: Bool = false) throws -> Int {
    let all = try OwnedDescriptor(opening: "/proc/self/fd", flags: O_RDONLY | O_DIRECTORY)
    return try all.entries().filter { name in
        guard let target = try? all.linkTarget(of: name) else { return false }
        return withAnonymous || !target.hasPrefix("anon_inode:")
    }.count
}

/// A directory that is removed in the end.
final class Directory {
    let path: String

    init() throws {
        var template = Array("/tmp/nacelle-system-XXXXXX".utf8CString)
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = unsafe mkdtemp(base) else { return "" }
            return unsafe String(cString: made)
        }
        try #require(!path.isEmpty)
    }

    func open(_ flags: Int32 = O_RDONLY) throws -> OwnedDescriptor { try OwnedDescriptor(opening: path, flags: flags | O_DIRECTORY) }

    deinit {
        if let directory = try? open() { Directory.empty(directory) }
        try? removeDirectory(path)
    }

    private static func empty(_ directory: borrowing OwnedDescriptor) {
        for name in (try? directory.entries()) ?? [] {
            if let inner = try? OwnedDescriptor(opening: name, at: directory, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW) {
                empty(inner)
                try? directory.remove(name, directory: true)
            } else {
                try? directory.remove(name)
            }
        }
    }
}
