import Glibc
import Testing

@testable import LinuxSystem

/// rtnetlink as bytes, and as this machine's kernel speaks it.
@Suite struct RouteSocketTests {
    @Test func encodesAsTheKernelReads() {
        var message = RouteMessage(.newLink, header: RouteMessage.link(index: 7, flags: 1, change: 1))
        message.attributes = [.init(type: 3, value: Array("eth0".utf8) + [0]), .init(type: 28, value: RouteMessage.bytes(UInt32(9)))]
        message.flags |= 4
        #expect(message.encoded() == [
            52, 0, 0, 0, 16, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
            9, 0, 3, 0, 101, 116, 104, 48, 0, 0, 0, 0, 8, 0, 28, 0, 9, 0, 0, 0,
        ])
        let answers = RouteMessage.answers(message.encoded()[...])
        #expect(answers.count == 1 && answers.first?.type == 16 && answers.first?.attributes == message.attributes)
    }

    @Test func damagedDatagramsEndTheReading() {
        var message = RouteMessage(.newAddress, header: [2, 24, 0x80, 0, 3, 0, 0, 0])
        message.attributes = [.init(type: 1, value: [10, 0, 0, 1])]
        let whole = message.encoded()
        for count in 0..<whole.count { #expect(RouteMessage.answers(whole[..<count]).isEmpty, "\(count) bytes") }
        for length: UInt8 in [0, 3, 15, 200] {
            var bytes = whole
            bytes[0] = length
            #expect(RouteMessage.answers(bytes[...]).isEmpty)
            var attribute = whole
            attribute[24] = length
            #expect(RouteMessage.answers(attribute[...]).first?.attributes.isEmpty == true)
        }
    }

    @Test func knowsThisMachinesLoopback() throws {
        let route = try RouteSocket()
        let loopback = try #require(try route.devices().first { $0.name == "lo" })
        #expect(loopback.index == 1)
        // Of the host alone, and nobody's lease.
        for address in try route.addresses(of: 1) { #expect(address.scope == 254 && address.isPermanent) }
        #expect(try route.addresses(of: 1_000_000).isEmpty)
    }

    @Test(.enabled(if: geteuid() == 0, "needs root"))
    func tellsWhatTheKernelRefuses() throws {
        let route = try RouteSocket()
        do throws(SystemError) {
            try route.setUp(1_000_000, true)
            Issue.record("accepted")
        } catch { #expect("\(error)" == "rtnetlink newLink: no such device") }
    }

    @Test(.enabled(if: geteuid() == 0, "needs root"))
    func speaksForAnotherNamespaceAndStaysHere() async {
        await #expect(processExitsWith: .success) {
            let outside = try OwnedDescriptor(opening: "/proc/self/ns/net", flags: O_RDONLY)
            try NamespaceSet.network.unshare()
            try OwnProcess.bringUp(interface: "lo")
            let inside = try FileStatus(path: "/proc/thread-self/ns/net").inode
            let route = try RouteSocket(in: outside)
            #expect(try FileStatus(path: "/proc/thread-self/ns/net").inode == inside)
            // A new namespace has nothing but loopback.
            #expect(try RouteSocket().devices().map(\.name).contains("lo"))
            #expect(try route.devices().contains { $0.name == "lo" })
        }
    }
}
