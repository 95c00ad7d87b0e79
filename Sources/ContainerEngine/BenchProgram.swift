/// A program that `bench` makes itself: static, of 0.2 KiB, so that what is measured is not the program.
///
/// Without an argument it writes `.` and ends with 0; with one it waits until it is killed. x86-64.
enum BenchProgram {
    static let file: [UInt8] = header + code

    private static let code: [UInt8] = [
        0x48, 0x83, 0x3C, 0x24, 0x01,  // cmp qword [rsp], 1: the count of words on its command line
        0x75, 0x20,  // jne idle
        0xB8, 0x01, 0x00, 0x00, 0x00,  // mov eax, 1: write
        0x89, 0xC7,  // mov edi, eax
        0x48, 0x8D, 0x35, 0x1B, 0x00, 0x00, 0x00,  // lea rsi, [rip + text]
        0x89, 0xC2,  // mov edx, eax
        0x0F, 0x05,  // syscall
        0xB8, 0x3C, 0x00, 0x00, 0x00,  // mov eax, 60: exit
        0x31, 0xFF,  // xor edi, edi
        0x0F, 0x05,  // syscall
        0x90, 0x90, 0x90, 0x90, 0x90,
        0xB8, 0x22, 0x00, 0x00, 0x00,  // idle: mov eax, 34: pause
        0x0F, 0x05,  // syscall
        0xEB, 0xF7,  // jmp idle
        UInt8(ascii: "."),
    ]

    /// elf(5): a header and one segment, which is the whole file.
    private static let header: [UInt8] = {
        let base: UInt64 = 0x400000
        let size: UInt64 = 64 + 56
        var bytes: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8)
        func put(_ value: UInt64, _ count: Int) { for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) } }
        // An executable for x86-64; its entry, program headers at 64, no sections.
        for (value, count) in [(2, 2), (62, 2), (1, 4), (base + size, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (1, 2), (64, 2), (0, 2), (0, 2)] { put(value, count) }
        // To be loaded, readable and executable, from the file's start.
        let length = size + UInt64(code.count)
        for (value, count) in [(1, 4), (5, 4), (0, 8), (base, 8), (base, 8), (length, 8), (length, 8), (0x1000, 8)] { put(value, count) }
        return bytes
    }()
}
