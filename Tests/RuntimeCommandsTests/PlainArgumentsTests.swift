import ArgumentParser
import Testing

@testable import RuntimeCommands

/// PlainArguments must not give up on what engines write every day (nobody would notice but by the time it takes), and must mean by a line
/// what ArgumentParser means by it.
@Suite("plain command lines")
struct PlainArgumentsTests {
    /// podman and its conmon.
    static let podman = [
        "--log=/c/oci-log --log-format=json create --bundle /c/userdata --pid-file /c/userdata/pidfile c0ffee",
        "--root /r --systemd-cgroup create --bundle /c/userdata --pid-file /c/userdata/pidfile --no-pivot --no-new-keyring --console-socket /c/attach --preserve-fds 3 c0ffee",
        "--cgroup-manager disabled --rootless=true create --bundle /c --pid-file /c/pidfile c0ffee",
        "start c0ffee", "state c0ffee", "kill c0ffee 15", "kill --all c0ffee 9", "delete --force c0ffee", "delete c0ffee", "pause c0ffee", "resume c0ffee",
        "--log=/c/exec/oci-log --log-format=json exec --pid-file /c/exec/exec_pid --process /c/exec/exec-process-1 --detach c0ffee",
        "--log=/c/exec/oci-log --log-format=json exec --pid-file /c/exec/exec_pid --process /c/exec/exec-process-1 --detach --tty --console-socket /c/exec/attach c0ffee",
        "exec --pid-file /c/exec/exec_pid --process /c/exec/exec-process-1 --detach --preserve-fds 2 c0ffee",
        "update --resources=/tmp/resources c0ffee",
    ]
    /// go-runc: containerd's shims, with them Docker's and Kubernetes'.
    static let containerd = [
        "--root /run/containerd/runc/k8s.io --log /run/t/log.json --log-format json create --bundle /run/t --pid-file /run/t/init.pid c0ffee",
        "--root /var/run/docker/runtime-runc/moby --debug --log /run/t/log.json --log-format json --systemd-cgroup create --bundle /run/t --pid-file /run/t/init.pid --console-socket /tmp/pty1/pty.sock --no-pivot --no-new-keyring c0ffee",
        "--root /r --log /l --log-format json --rootless=false --isolation namespace start c0ffee",
        "--root /r --log /l --log-format json state c0ffee",
        "--root /r --log /l --log-format json exec --process /tmp/runc-process1 --console-socket /tmp/pty2/pty.sock --detach --pid-file /run/t/e.pid c0ffee",
        "--root /r --log /l --log-format json exec --process /tmp/runc-process1 --detach --pid-file /run/t/e.pid c0ffee",
        "--root /r --log /l --log-format json kill --all c0ffee 9",
        "--root /r --log /l --log-format json kill c0ffee 15",
        "--root /r --log /l --log-format json delete --force c0ffee",
        "--root /r --log /l --log-format json events --stats c0ffee",
        "--root /r --log /l --log-format json events --interval=5000000000ns c0ffee",
        "--root /r --log /l --log-format json pause c0ffee",
        "--root /r --log /l --log-format json resume c0ffee",
        "--root /r --log /l --log-format json ps --format json c0ffee",
        "--root /r --log /l --log-format json update --resources=- c0ffee",
        "--root /r --log /l --log-format json list --format=json",
    ]
    /// CRI-O, and people.
    static let others = [
        "--root=/run/runc --systemd-cgroup exec --pid-file /p --process /f --detach --tty c0ffee",
        "--root=/run/runc update --resources - c0ffee", "--root=/run/runc kill c0ffee TERM",
        "run -b . c0ffee", "run --detach --keep --no-subreaper --pidfd-socket s c0ffee", "run c0ffee -d", "kill c0ffee", "ps c0ffee", "ps c0ffee -ef", "ps -f table c0ffee aux",
        "exec c0ffee sh -c true", "exec -t -u 1:2 -e A=1 --env B=2=3 --env '' --cwd / -g 1 -g 2 -c CAP_CHOWN c0ffee sh -t", "exec c0ffee -- sh", "exec c0ffee --tty",
        "exec --no-new-privs --ignore-paused --apparmor a --process-label l --cgroup cpu:a --cgroup memory:b c0ffee true",
        "exec --user '' --cwd 1 --cwd 2 c0ffee true -- --tty", "update --memory 64m --cpu-quota 50000 c0ffee", "list", "list -q -f table", "events c0ffee",
        "--config /f --criu x --log-format text --rootless auto list",
    ]

    /// Each option of the table by itself.
    static let options =
        lines("exec", PlainArguments.execOptions) + lines("update", PlainArguments.updateOptions) + lines("create", PlainArguments.bundleOptions() as [PlainOption<Create>])
        + lines("run", PlainArguments.bundleOptions() as [PlainOption<Run>])

    private static func lines<Command>(_ verb: String, _ options: [PlainOption<Command>]) -> [String] {
        options.flatMap { option in option.names.map { option.takesValue ? "\(verb) \($0) 7 c" : "\(verb) \($0) c" } }
    }

    private static func described(_ command: any ParsableCommand) -> String {
        var text = ""
        dump(command, to: &text)
        return text
    }

    /// `''` is an empty word.
    private static func words(_ line: String) -> [String] { line.split(separator: " ").map { $0 == "''" ? "" : String($0) } }

    @Test("a line that engines write is plain, and means what ArgumentParser reads", arguments: podman + containerd + others + options)
    func plain(_ line: String) throws {
        let words = Self.words(line)
        let command = try #require(PlainArguments.command(words), "not plain")
        #expect(Self.described(command) == Self.described(try NacelleOCI.parseAsRoot(words)))
    }

    @Test("what is wrong, or not read in full, is left to ArgumentParser", arguments: [
        "", "--help", "nosuch c", "create", "create a b", "create --nosuch c", "create --bundle", "create --bundle --pid-file c", "create --preserve-fds -1 c", "create --preserve-fds x c",
        "create --no-pivot=true c", "create --bundle= c", "create --no-pivot --no-pivot c", "delete -ff c", "delete --help", "start -- c", "kill a b c", "state", "exec", "exec --gids c", "exec -g x c true",
        "exec --preserve-fds x c", "exec -dt c", "ps -f yaml c", "list c", "list -f yaml", "update --cpu-quota -1 c", "spec", "features", "doctor", "checkpoint c",
        "--root= list", "--root", "--log-format xml list", "--isolation vm list", "--rootless maybe list", "--cgroup-manager x list", "--nosuch list", "-v",
    ])
    func notPlain(_ line: String) {
        #expect(PlainArguments.command(Self.words(line)) == nil)
    }
}
