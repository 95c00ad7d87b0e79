import Glibc

enum Terminal {
    static var isOutput: Bool { isatty(1) == 1 }
}
