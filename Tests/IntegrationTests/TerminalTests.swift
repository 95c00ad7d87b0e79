import Foundation
import Glibc
import Testing

@Suite("Terminals", .requiresKVM, .serialized)
struct TerminalTests {
    private func interactive(_ arguments: [String]) throws -> Bundle {
        let bundle = try Bundle(arguments)
        bundle.process { $0["terminal"] = true }
        try bundle.save()
        return bundle
    }

    @Test("run with a terminal: size, Ctrl-C, job control, resizing, the end of input, the status")
    func run() throws {
        let bundle = try interactive(["sh"])
        let terminal = try PseudoTerminal(Nacelle.program, ["--root", bundle.root, "run", "--bundle", bundle.path, "c"], columns: 91, rows: 33)
        terminal.expect("# ")
        terminal.type("tty; stty size\n")
        terminal.expect("/dev/pts/0\r\n33 91\r\n")
        terminal.expect("# ")
        terminal.type("sleep 1000\n")
        terminal.expect("sleep 1000\r\n")
        usleep(500_000)
        terminal.type("\u{3}")
        terminal.expect("^C")
        terminal.expect("# ")
        terminal.type("echo status=$?\n")
        terminal.expect("status=130")
        terminal.type("sleep 1000\n")
        terminal.expect("sleep 1000\r\n")
        usleep(500_000)
        terminal.type("\u{1A}")
        terminal.expect("Stopped")
        terminal.type("kill -9 %1; wait; echo no job\n")
        terminal.expect("no job\r\n")
        terminal.resize(columns: 120, rows: 40)
        terminal.type("trap : WINCH; while [ \"$(stty size)\" != '40 120' ]; do sleep 0.1; done; stty size\n")
        terminal.expect("\n40 120\r\n")
        terminal.type("exit 5\n")
        #expect(terminal.wait() == 5)
        try bundle.expectNothingLeft()
    }

    @Test("Ctrl-D ends a reader; output written just before the end arrives")
    func endOfInput() throws {
        let bundle = try interactive(["sh", "-c", "cat; seq 1 5000; exit 3"])
        let terminal = try PseudoTerminal(Nacelle.program, ["--root", bundle.root, "run", "--bundle", bundle.path, "c"])
        terminal.type("typed\n")
        terminal.expect("typed\r\ntyped\r\n")
        terminal.type("\u{4}")
        terminal.expect("\r\n4999\r\n5000\r\n")
        #expect(terminal.wait() == 3)
        try bundle.expectNothingLeft()
    }

    @Test("exec -t has a terminal of its own")
    func exec() throws {
        let bundle = try Bundle(["sleep", "1000"])
        try bundle.save()
        #expect(try bundle.nacelle("run", "-d", "--bundle", bundle.path, "c").status == 0)
        let terminal = try PseudoTerminal(Nacelle.program, ["--root", bundle.root, "exec", "-t", "c", "sh"], columns: 70, rows: 20)
        terminal.expect("# ")
        terminal.type("tty && stty size; ps -o tty,comm | grep -c pts; exit 8\n")
        terminal.expect("/dev/pts/0\r\n20 70\r\n")
        #expect(terminal.wait() == 8)
        #expect(try bundle.nacelle("delete", "--force", "c").status == 0)
        try bundle.expectNothingLeft()
    }

    @Test("create gives the terminal's master to the console socket")
    func consoleSocket() throws {
        let bundle = try interactive(["sh", "-c", "read line; echo got $line; stty size; exit 4"])
        bundle.process { $0["consoleSize"] = ["height": 11, "width": 22] }
        try bundle.save()
        // What an engine does: takes the descriptor, types, reads to the end.
        let engine = bundle.path + "/engine.py"
        try """
        import array, os, socket, sys
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[1])
        listener.listen()
        connection, _ = listener.accept()
        name, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
        master = array.array("i", ancillary[0][2])[0]
        print("received", name.decode(), flush=True)
        os.write(master, b"from the engine\\n")
        try:
            while data := os.read(master, 1000): sys.stdout.write(data.decode())
        except OSError: pass
        """.write(toFile: engine, atomically: false, encoding: .utf8)
        let console = bundle.path + "/console"
        let python = try Command("/usr/bin/python3", [engine, console])
        try eventually("the engine listens") { FileManager.default.fileExists(atPath: console) }
        let refused = try bundle.nacelle("create", "--bundle", bundle.path, "c")
        #expect(refused.status == 1 && refused.errorText.contains("without setting console socket"), "\(refused.errorText)")
        #expect(try bundle.nacelle("create", "--bundle", bundle.path, "--console-socket", console, "c").status == 0)
        #expect(try bundle.nacelle("start", "c").status == 0)
        let outcome = try python.wait()
        #expect(outcome.text.contains("from the engine\r\ngot from the engine\r\n11 22\r\n"), "\(outcome.text)\(outcome.errorText)")
        try eventually("the container has stopped") { try bundle.status() == "stopped" }
        #expect(try bundle.nacelle("delete", "c").status == 0)
        try bundle.expectNothingLeft()
    }
}
