import Foundation
import LinuxSystem
import Testing
@testable import LayerArchive

/// Layers of any entries in any order mean the same, applied onto each other and merged by overlayfs.
@Suite(.enabled(if: isMachineRoot(), "overlayfs's whiteouts and mounts need root"))
struct RandomLayersTests {
    /// How many images are tried, of which random numbers; NACELLE_LAYERS_COUNT and NACELLE_LAYERS_SEED say otherwise.
    static let count = ProcessInfo.processInfo.environment["NACELLE_LAYERS_COUNT"].flatMap { Int($0) } ?? 100
    static let seed = ProcessInfo.processInfo.environment["NACELLE_LAYERS_SEED"].flatMap { UInt64($0) } ?? .random(in: 0 ... .max)

    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    /// An entry, and how it is told.
    /// - Parameter files: names that files had once, of which most hard links are made.
    private func entry(_ random: inout Generator, _ tar: inout HandmadeTar, _ files: inout [String]) -> String {
        func path() -> String { (0...Int.random(in: 0...2, using: &random)).map { _ in ["a", "b", "c"].randomElement(using: &random) ?? "a" }.joined(separator: "/") }
        let (name, seconds) = (path(), Int64.random(in: 1...9, using: &random))
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<5:
            files.append(name)
            let content = "\(Int.random(in: 0..<1000, using: &random))"
            tar.add(name, .regular(size: 0), content, mode: [0o600, 0o644, 0o4755].randomElement(using: &random) ?? 0o644, seconds: seconds)
            return "\(name)=\(content)"
        case 5..<9:
            tar.add(name + "/", .directory, mode: [0o700, 0o755, 0o711].randomElement(using: &random) ?? 0o755, user: UInt32.random(in: 0...3, using: &random), seconds: seconds)
            return "\(name)/"
        case 9:
            tar.add(name, .symbolicLink(target: Array("a".utf8)), seconds: seconds)
            return "\(name)>a"
        case 10..<14:
            let parts = name.split(separator: "/").map(String.init)
            let whiteout = (parts.dropLast() + [".wh." + (parts.last ?? "a")]).joined(separator: "/")
            tar.add(whiteout)
            return whiteout
        case 14:
            let opaque = (Bool.random(using: &random) ? name + "/" : "") + ".wh..wh..opq"
            tar.add(opaque)
            return opaque
        default:
            let target = Int.random(in: 0..<10, using: &random) == 0 ? path() : files.randomElement(using: &random) ?? name
            files.append(name)
            tar.link(name, target)
            return "\(name)=>\(target)"
        }
    }

    @Test func meanTheSame() throws {
        let scratch = Scratch()
        var applied = 0
        for number in 0..<Self.count {
            var random = Generator(state: Self.seed &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
            var (lower, told, files): ([SharedDescriptor], [String], [String]) = ([], [], [])
            let flat = try scratch.make("\(number)/flat")
            for layer in 0..<3 {
                var (tar, words) = (HandmadeTar(), [String]())
                for _ in 0..<Int.random(in: 1...6, using: &random) { words.append(entry(&random, &tar, &files)) }
                told.append(words.joined(separator: " "))
                let place = try scratch.make("\(number)/layer\(layer)")
                func failure(_ body: () throws -> Void) -> String? { do { try body(); return nil } catch { return "\(error)" } }
                let inTree = failure { try apply(tar.closed, to: flat) }
                let apart = failure { try apply(tar.closed, to: place, .overlay(user: false), lower: lower) }
                #expect((inTree == nil) == (apart == nil), "\(inTree ?? "applied"), \(apart ?? "applied"): \(told), number \(number) of seed \(Self.seed)")
                if inTree != nil || apart != nil { break }
                applied += 1
                lower.insert(place, at: 0)
                // overlayfs wants two layers at least.
                if layer == 0 { continue }
                let directories = (0...layer).reversed().map { "layer\($0)" }.joined(separator: ":")
                try shell("mkdir -p merged; mount -t overlay overlay -o lowerdir=\(directories) merged", in: scratch.path + "/\(number)")
                let difference = failure {
                    let status = "find . -mindepth 1 \\( -type f -printf '%p %m %U %T@ ' -exec cat {} \\; -printf '\\n' -o -type l -printf '%p>%l\\n' -o -type d -printf '%p/ %m %U\\n' \\) | LC_ALL=C sort"
                    let (ours, theirs) = (try shell(status, in: scratch.path + "/\(number)/merged"), try shell(status, in: scratch.path + "/\(number)/flat"))
                    if ours != theirs { throw ShellFailure(output: "merged: \(ours)in one tree: \(theirs)") }
                }
                try shell("umount merged", in: scratch.path + "/\(number)")
                #expect(difference == nil, "\(difference ?? ""): \(told), number \(number) of seed \(Self.seed)")
                if difference != nil { break }
            }
            try shell("rm -r '\(number)'", in: scratch.path)
        }
        #expect(applied > Self.count)
    }
}
