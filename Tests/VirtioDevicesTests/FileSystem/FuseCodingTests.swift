import Glibc
import LinuxSystem
import Testing
@testable import VirtioDevices

@Suite("FUSE messages") struct FuseCodingTests {
    private func decode(_ opcode: Fuse.Opcode, _ parts: FusePart..., dataCount: Int = 0) throws -> FuseRequest {
        var arguments = FuseArguments()
        for part in parts { arguments.append(part) }
        let bytes = arguments.bytes
        let header = try #require(FuseHeader(FuseGuest.header(40 + bytes.count, opcode.rawValue, unique: 7, node: 1)))
        return try FuseRequest(header, arguments: bytes, dataCount: dataCount)
    }

    private func errno(_ opcode: Fuse.Opcode, _ parts: FusePart..., dataCount: Int = 0) throws -> Int32 {
        var arguments = FuseArguments()
        for part in parts { arguments.append(part) }
        let bytes = arguments.bytes
        let header = try #require(FuseHeader(FuseGuest.header(40 + bytes.count, opcode.rawValue, unique: 7, node: 1)))
        do {
            _ = try FuseRequest(header, arguments: bytes, dataCount: dataCount)
            return 0
        } catch {
            return error.errno.rawValue
        }
    }

    @Test func wellFormedRequests() throws {
        #expect(try decode(.lookup, .name("bin")) == .lookup(try EntryName("bin")))
        #expect(try decode(.forget, .u64(3)) == .forget(count: 3))
        #expect(try decode(.batchForget, .u32(2), .u32(0), .u64(5), .u64(1), .u64(6), .u64(2)) == .batchForget([.init(node: 5, count: 1), .init(node: 6, count: 2)]))
        #expect(try decode(.symbolicLink, .name("l"), .name("../x")) == .symbolicLink(try EntryName("l"), target: Array("../x".utf8)[...]))
        #expect(try decode(.rename2, .u64(9), .u32(1), .u32(0), .name("a"), .name("b")) == .rename(try EntryName("a"), toNode: 9, try EntryName("b"), flags: 1))
        #expect(try decode(.rename, .u64(9), .name("a"), .name("b")) == .rename(try EntryName("a"), toNode: 9, try EntryName("b"), flags: 0))
        #expect(try decode(.read, .u64(4), .u64(8), .u32(16), .u32(0), .u64(0), .u32(0), .u32(0)) == .read(handle: 4, offset: 8, count: 16))
        #expect(
            try decode(.write, .u64(4), .u64(8), .u32(16), .u32(4), .u64(0), .u32(UInt32(O_APPEND)), .u32(0), dataCount: 16)
                == .write(handle: 4, offset: 8, count: 16, appends: true, killsPrivileges: true))
        // A page that is written back does not append.
        #expect(
            try decode(.write, .u64(4), .u64(8), .u32(16), .u32(1), .u64(0), .u32(UInt32(O_APPEND)), .u32(0), dataCount: 16)
                == .write(handle: 4, offset: 8, count: 16, appends: false, killsPrivileges: false))
        #expect(
            try decode(.setExtendedAttribute, .u32(2), .u32(1), .u32(1), .u32(0), .name("user.a/b"), .raw([1, 2]))
                == .setExtendedAttribute(try AttributeName("user.a/b"), value: [1, 2], flags: 1, killsGroup: true))
        // A directory's last mark may be the largest offset.
        #expect(
            try decode(.readDirectory, .u64(4), .u64(UInt64(Int64.max)), .u32(4096), .u32(0), .u64(0), .u32(0), .u32(0))
                == .readDirectory(handle: 4, offset: .max, count: 4096, plus: false))
        #expect(try decode(.control) == .unsupported(.notTerminal))
    }

    @Test func everyOpcodeRefusesAnEmptyRequestOrHasNoArguments() throws {
        let withoutArguments: Set<Fuse.Opcode> = [
            .getAttributes, .readLink, .statistics, .destroy, .interrupt, .notifyReply, .control, .getLock, .setLock, .setLockWait, .access,
            .blockMap, .poll, .setUpMapping, .removeMapping, .synchronizeFileSystem,
        ]
        for opcode in Fuse.Opcode.allCases {
            #expect(try errno(opcode) == (withoutArguments.contains(opcode) ? 0 : EINVAL), "\(opcode)")
        }
    }

    @Test(arguments: ["", ".", "..", "a/b", "/", "../x"]) func badNames(name: String) throws {
        #expect(try errno(.lookup, .name(name)) == EINVAL)
        #expect(try errno(.unlink, .name(name)) == EINVAL)
        #expect(try errno(.rename, .u64(1), .name("ok"), .name(name)) == EINVAL)
        #expect(try errno(.link, .u64(1), .name(name)) == EINVAL)
        #expect(try errno(.create, .u32(0), .u32(0), .u32(0), .u32(0), .name(name)) == EINVAL)
    }

    @Test func oddNames() throws {
        #expect(try errno(.lookup, .raw(Array("unterminated".utf8))) == EINVAL)
        #expect(try errno(.lookup, .raw([UInt8](repeating: 97, count: 256) + [0])) == ENAMETOOLONG)
        #expect(try errno(.lookup, .raw([UInt8](repeating: 97, count: 255) + [0])) == 0)
        #expect(try errno(.lookup, .name("...")) == 0)
        #expect(try errno(.lookup, .raw([0xFF, 0xFE, 0x0A, 0])) == 0)
        // The name of TMPFILE means nothing.
        #expect(try errno(.temporaryFile, .u32(2), .u32(0), .u32(0), .u32(0), .name("/")) == 0)
        #expect(try errno(.getExtendedAttribute, .u32(0), .u32(0), .name("")) == ERANGE)
    }

    @Test func hostileNumbers() throws {
        let negative = UInt64(bitPattern: -1)
        let last = UInt64(Int64.max)
        #expect(try errno(.read, .u64(1), .u64(negative), .u32(1), .u32(0), .u64(0), .u32(0), .u32(0)) == EINVAL)
        #expect(try errno(.read, .u64(1), .u64(last), .u32(1), .u32(0), .u64(0), .u32(0), .u32(0)) == EINVAL)
        #expect(try errno(.write, .u64(1), .u64(last), .u32(1), .u32(0), .u64(0), .u32(0), .u32(0), dataCount: 1) == EINVAL)
        #expect(try errno(.write, .u64(1), .u64(0), .u32(2), .u32(0), .u64(0), .u32(0), .u32(0), dataCount: 1) == EINVAL)
        #expect(try errno(.write, .u64(1), .u64(0), .u32(.max), .u32(0), .u64(0), .u32(0), .u32(0), dataCount: .max) == EINVAL)
        #expect(try errno(.allocate, .u64(1), .u64(last), .u64(last), .u32(0), .u32(0)) == EINVAL)
        #expect(try errno(.copyFileRange, .u64(1), .u64(0), .u64(1), .u64(1), .u64(last), .u64(1), .u64(0)) == EINVAL)
        #expect(try errno(.copyFileRange, .u64(1), .u64(0), .u64(1), .u64(1), .u64(0), .u64(1), .u64(1)) == EINVAL)
        #expect(try errno(.seek, .u64(1), .u64(negative), .u32(3), .u32(0)) == EINVAL)
        #expect(try errno(.batchForget, .u32(.max), .u32(0), .u64(1), .u64(1)) == EINVAL)
        #expect(try errno(.setExtendedAttribute, .u32(.max), .u32(0), .u32(0), .u32(0), .name("user.a"), .raw([1])) == EINVAL)
    }

    @Test func headers() throws {
        #expect(FuseHeader([UInt8](repeating: 0, count: 39)) == nil)
        let header = try #require(FuseHeader(FuseGuest.header(48, 3, unique: 0x1122_3344_5566_7788, node: 9, user: 5, group: 6)))
        #expect(header.unique == 0x1122_3344_5566_7788 && header.node == 9 && header.user == 5 && header.group == 6)
        let unknown = try #require(FuseHeader(FuseGuest.header(40, 4096, unique: 1, node: 1)))
        #expect(throws: SystemError(.notImplemented, "fuse")) { try FuseRequest(unknown, arguments: []) }
    }

    @Test func repliesHaveTheProtocolsSizes() throws {
        let directory = try OwnedDescriptor(opening: "/", flags: O_PATH)
        let entry = FuseEntry(node: 5, attributes: try directory.attributes())
        var reply = FuseReply()
        reply.append(entry)
        #expect(reply.count == FuseEntry.encodedSize)
        reply = FuseReply()
        reply.appendAttributes(of: entry)
        #expect(reply.count == 104)
        reply = FuseReply()
        reply.appendAbsence()
        #expect(reply.count == 128)
        reply = FuseReply()
        reply.appendInit(minor: 37, readAhead: 0, features: [])
        #expect(reply.count == 64)
        reply = FuseReply()
        reply.append(try directory.fileSystemStatistics())
        #expect(reply.count == 80)
        reply = FuseReply()
        reply.append(DirectoryEntry(inode: 1, next: 2, type: 4, name: Array("abc".utf8)[...]))
        #expect(reply.count == 32)
    }

    @Test(arguments: [(0, 0), (1, 3), (8, 1), (253, 0x12345), (4095, 0xFFFFF)] as [(UInt32, UInt32)]) func deviceNumbers(major: UInt32, minor: UInt32) {
        let decoded = DeviceNumber.decode(DeviceNumber.encode(major: major, minor: minor))
        #expect(decoded.major == major && decoded.minor == minor)
    }

    @Test func directoryEntriesOfTheHost() {
        // struct linux_dirent64: inode, offset, length, type, name.
        let line = FuseArguments(.u64(7), .u64(9)).bytes + [24, 0, 8] + Array("ab".utf8) + [0, 0, 0]
        let first = DirectoryEntry.first(of: line[...])
        #expect(first?.entry == DirectoryEntry(inode: 7, next: 9, type: 8, name: Array("ab".utf8)[...]))
        #expect(first?.length == 24)
        #expect(DirectoryEntry.first(of: line[..<23]) == nil)
        #expect(DirectoryEntry.first(of: []) == nil)
        #expect(DirectoryEntry.first(of: ([UInt8](repeating: 0, count: 32))[...]) == nil)
    }
}
