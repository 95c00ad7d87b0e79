internal import Glibc

/// Flags of open(2), in one place.
enum flags {
    static let directory = O_RDONLY | O_DIRECTORY
    static let read = O_RDONLY | O_NOFOLLOW
    /// What others have made may be anything: a pipe would wait for somebody at its other end.
    static let document = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
    static let write = O_WRONLY | O_NOFOLLOW
    static let create = O_WRONLY | O_CREAT | O_EXCL
    static let handle = O_PATH
    /// What a user names may be a pipe.
    static let stream = O_RDONLY
    static let writeStream = O_WRONLY
    static let createFile = O_WRONLY | O_CREAT | O_EXCL
}
