import AgentProtocol
import Testing

@Suite("How a root is put together") struct RootLayoutTests {
    @Test(arguments: [
        ("pmem1 shared", ["pmem1"], .shared), ("pmem1:vda:pmem2 disk=vdb", ["pmem1", "vda", "pmem2"], .disk("vdb")), ("vda tmpfs=0", ["vda"], .tmpfs(0)), ("vda tmpfs=4096", ["vda"], .tmpfs(4096)),
    ] as [(String, [String], RootLayout.Upper)])
    func roundTrip(text: String, layers: [String], upper: RootLayout.Upper) {
        #expect(RootLayout(text) == RootLayout(layers: layers, upper: upper))
        #expect(RootLayout(layers: layers, upper: upper).text == text)
    }

    @Test(arguments: [
        "", " ", "pmem1", "pmem1 ", " shared", "pmem1: shared", "pmem1 shared ", "pmem1 shared=x", "pmem1 disk", "pmem1 disk=", "pmem1 disk=a/b", "../x disk=vda", "pmem1 tmpfs=", "pmem1 tmpfs=-1", "pmem1 tmpfs=x", "pmem1 other",
    ])
    func malformed(text: String) { #expect(RootLayout(text) == nil) }
}
