import AgentProtocol
import Testing

struct FrameTests {
    @Test func layout() {
        let bytes = Frame(kind: 0x0102, request: 0x0304_0506, payload: [0xAA, 0xBB]).encoded()
        #expect(bytes == [2, 0, 0, 0, 0x02, 0x01, 1, 0, 0x06, 0x05, 0x04, 0x03, 0xAA, 0xBB])
    }

    @Test(arguments: [1, 2, 3, 5, 11, 12, 13, 1000]) func anyCutGivesTheSameFrames(size: Int) throws {
        let frames = requests.enumerated().map { $1.frame(request: UInt32($0)) }
        let bytes = frames.flatMap { $0.encoded() }
        var decoder = FrameDecoder()
        var result: [Frame] = []
        var position = 0
        while position < bytes.count {
            let end = min(position + size, bytes.count)
            decoder.append(bytes[position..<end])
            position = end
            while let frame = try decoder.next() { result.append(frame) }
        }
        #expect(result == frames)
        #expect(try decoder.next() == nil)
    }

    @Test func anIncompleteFrameIsNoFrame() throws {
        let bytes = Frame(kind: 1, request: 1, payload: [1, 2, 3]).encoded()
        for count in 0..<bytes.count {
            var decoder = FrameDecoder()
            decoder.append(bytes[..<count])
            #expect(try decoder.next() == nil)
        }
    }

    @Test func sizes() throws {
        var header = Frame(kind: 1, request: 1, payload: []).encoded()
        let limit = UInt32(Frame.maximumPayload)
        for (length, allowed) in [(limit, true), (limit + 1, false), (UInt32.max, false)] {
            for index in 0..<4 { header[index] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(index))) }
            var decoder = FrameDecoder()
            decoder.append(header)
            if allowed {
                #expect(try decoder.next() == nil)
            } else {
                #expect(throws: ProtocolError.frameTooLarge(Int(length))) { try decoder.next() }
            }
        }
    }

    @Test func theLargestFrame() throws {
        let frame = Frame(kind: 3, request: 9, payload: [UInt8](repeating: 7, count: Frame.maximumPayload))
        var decoder = FrameDecoder()
        decoder.append(frame.encoded())
        #expect(try decoder.next() == frame)
    }

    @Test func anotherVersionIsRefusedWithBothNumbers() {
        var bytes = Frame(kind: 1, request: 1, payload: []).encoded()
        bytes[6] = 2
        var decoder = FrameDecoder()
        decoder.append(bytes)
        let error = #expect(throws: ProtocolError.versionMismatch(theirs: 2)) { try decoder.next() }
        #expect(error?.description.contains("version 2") == true)
    }

    @Test func randomBytesNeverTrap() {
        var generator = Sequence64(seed: 7)
        var frames = 0
        for _ in 0..<100_000 {
            var bytes = (0..<Int.random(in: 0...24, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            // Every other time a plausible header, or nothing would get past the version.
            if bytes.count >= 12, Bool.random(using: &generator) { bytes.replaceSubrange(0..<8, with: [bytes[0] & 15, 0, 0, 0, bytes[4] & 15, 0, 1, 0]) }
            var decoder = FrameDecoder()
            decoder.append(bytes)
            while let frame = try? decoder.next() {
                frames += 1
                _ = try? Request(frame)
            }
        }
        #expect(frames > 1000)
    }
}

struct BytesTests {
    @Test func integersAreLittleEndian() throws {
        var writer = ByteWriter()
        writer.append(UInt8(0xFE))
        writer.append(Int32(-2))
        writer.append(UInt64.max - 1)
        #expect(writer.bytes == [0xFE, 0xFE, 0xFF, 0xFF, 0xFF, 0xFE, 255, 255, 255, 255, 255, 255, 255])
        var reader = ByteReader(writer.bytes)
        #expect(try reader.integer(UInt8.self, "a") == 0xFE)
        #expect(try reader.integer(Int32.self, "b") == -2)
        #expect(throws: ProtocolError.invalid("length: 8 bytes too many")) { try reader.end() }
        #expect(try reader.integer(UInt64.self, "c") == .max - 1)
        try reader.end()
        #expect(throws: ProtocolError.truncated("d")) { try reader.integer(Int8.self, "d") }
    }

    @Test func boolsAreZeroOrOne() {
        for value: UInt8 in 2...255 {
            var reader = ByteReader([value])
            #expect(throws: ProtocolError.invalid("flag")) { try reader.bool("flag") }
        }
    }
}
