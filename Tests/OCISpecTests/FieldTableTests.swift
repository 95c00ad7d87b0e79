import Foundation
import Testing

@testable import OCISpec

/// docs/oci.md says of every field what becomes of it.
@Suite("The table of fields")
struct FieldTableTests {
    private static let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../docs/oci.md")

    /// The words in backticks of a table's first column.
    private static func named() throws -> [String] {
        let text = try String(contentsOf: page, encoding: .utf8)
        return text.split(separator: "\n").filter { $0.hasPrefix("| `") }.flatMap { line in
            line.dropFirst(2).prefix { $0 != "|" }.split(separator: "`").enumerated().filter { $0.offset % 2 == 0 }.map { String($0.element) }
        }
    }

    @Test("names every field that a configuration can have, once, and no other")
    func everyField() throws {
        let fields = RuntimeSpec.fieldPaths
        let named = try Self.named().filter { !MountOption.table.map(\.name).contains($0) || fields.contains($0) }
        #expect(Set(fields).subtracting(named).sorted() == [], "missing in docs/oci.md")
        #expect(Set(named).subtracting(fields).sorted() == [], "docs/oci.md has fields that do not exist")
        #expect(named.count == Set(named).count, "named twice: \(Dictionary(grouping: named) { $0 }.filter { $0.value.count > 1 }.keys)")
    }

    @Test("names every mount option")
    func everyMountOption() throws {
        let named = try Self.named()
        #expect(MountOption.table.map(\.name).filter { !named.contains($0) } == [])
    }

    @Test("the listing reaches into objects, arrays and maps")
    func listing() {
        let fields = RuntimeSpec.fieldPaths
        for path in [
            "ociVersion", "process.user.additionalGids", "process.rlimits[].soft", "mounts[].uidMappings[].hostID", "hooks.poststop[].timeout", "annotations",
            "linux.netDevices.*.name", "linux.timeOffsets.*.secs", "linux.resources.unified", "linux.resources.blockIO.weightDevice[].leafWeight",
            "linux.seccomp.syscalls[].args[].valueTwo", "vm.hwConfig.iomems[].firstGFN",
        ] { #expect(fields.contains(path), "\(path)") }
        #expect(Set(fields).count == fields.count)
    }

    @Test("lists of numbers", arguments: [
        ("0", [0]), ("0-3,7", [0, 1, 2, 3, 7]), ("7,0-1,1", [0, 1, 7]), ("5-5", [5]), ("4095", [4095]), ("", nil), (",", nil), ("1,", nil), ("-1", nil), ("1-", nil), ("3-1", nil),
        ("4096", nil), ("0-99999999999999999999", nil), (" 1", nil), ("0x1", nil), ("1-2-3", nil), ("+1", nil), ("٣", nil),
    ] as [(String, [Int]?)])
    func numbers(_ text: String, _ expected: [Int]?) { #expect(NumberList.parse(text) == expected) }

    @Test("numbers as a mask")
    func mask() {
        let mask = NumberList.mask([0, 63, 64, 4095])
        #expect(mask.count == 64 && mask[0] == 1 | 1 << 63 && mask[1] == 1 && mask[63] == 1 << 63)
    }
}
