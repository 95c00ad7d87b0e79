import Glibc
import LinuxSystem
import Testing
@testable import VirtioDevices

/// Programs on a mount of the file server, as a container's would be.
@Suite("virtio-fs under Linux's FUSE client", .serialized, .enabled(if: KernelMount.isPossible, "mounts through /dev/fuse"))
struct KernelMountTests {
    /// Runs a shell script with `$M` as the share in the mount and `$H` as the same directory on the host; every line must succeed.
    private func run(_ script: String, file: StaticString = #filePath) throws -> String {
        let scratch = try ScratchDirectory()
        let mounted = try KernelMount([try scratch.share()], at: scratch.outside + "/mnt")
        defer { mounted.unmount() }
        try writeFile(scratch.outside + "/script", Array(script.utf8))
        let command = "cd \(scratch.outside) && M=\(mounted.path)/rootfs H=\(scratch.path) sh -eux \(scratch.outside)/script > \(scratch.outside)/out 2> \(scratch.outside)/err"
        let status = unsafe system(command)
        let errors = String(decoding: try readFile(scratch.outside + "/err"), as: UTF8.self)
        #expect(status == 0, "\(errors)")
        return String(decoding: try readFile(scratch.outside + "/out"), as: UTF8.self)
    }

    @Test func basicPrograms() throws {
        let out = try run(
            """
            cd $M
            umask 027
            mkdir -p a/b/c && echo hello > a/b/c/f && cat a/b/c/f
            test "$(cat $H/a/b/c/f)" = hello
            test "$(stat -c %a a/b/c/f)" = 640 && test "$(stat -c %a a)" = 750
            ln a/b/c/f hard && ln -s a/b/c/f soft && test "$(cat soft)" = hello && test "$(stat -c %h hard)" = 2
            mv a/b/c/f moved && test ! -e soft && cat moved
            chmod 4755 moved && test "$(stat -c %a moved)" = 4755
            chown 1000:1001 moved && test "$(stat -c %u:%g:%a moved)" = 1000:1001:755
            touch -d @12345 moved && test "$(stat -c %Y $H/moved)" = 12345
            truncate -s 5G big && test "$(stat -c %s $H/big)" = 5368709120
            dd if=/dev/urandom of=rnd bs=1M count=8 2> /dev/null && cmp rnd $H/rnd
            echo more >> rnd && cmp rnd $H/rnd
            fallocate -l 1M room && test "$(stat -c %s room)" = 1048576
            mkfifo fifo && (echo through > fifo &) && cat fifo
            mknod null c 1 3 && echo x > null && test -c $H/null
            df . > /dev/null && sync
            rm -r a && test ! -e $H/a
            # What the host does is seen: a new file at once, a changed one at its next opening.
            echo host > $H/new && cat new
            echo one > seen && cat seen && sleep 1.1 && echo second > $H/seen && cat seen
            """)
        #expect(out == "hello\nhello\nthrough\nhost\none\nsecond\n")
    }

    @Test func treesAreEqual() throws {
        _ = try run(
            """
            mkdir $M/t
            tar -C /usr/lib/python3.11 -cf - . | tar -C $M/t -xf -
            diff -r --no-dereference /usr/lib/python3.11 $M/t
            tar -C $M/t --sort=name -cf - . | sha256sum > one
            tar -C /usr/lib/python3.11 --sort=name -cf - . | sha256sum > two
            cmp one two
            find $M/t -name '*.py' -exec cat {} + | sha256sum > one
            find $H/t -name '*.py' -exec cat {} + | sha256sum > two
            cmp one two
            rm -rf $M/t && test ! -e $H/t
            """)
    }

    @Test func repositories() throws {
        _ = try run(
            """
            cd $M && git init -q r && cd r
            git config user.email a@b && git config user.name n && git config core.fsync all
            for i in $(seq 30); do echo $i > f$i && git add f$i && git commit -qm c$i; done
            git gc -q && git fsck --strict && test "$(git log --oneline | wc -l)" = 30
            """)
    }

    @Test func memoryMapsLocksAndHoles() throws {
        let out = try run(
            """
            cat > p.py <<'END'
            import mmap, os, fcntl, sys, errno, subprocess
            m = sys.argv[1]; h = sys.argv[2]
            p = m + '/map'
            f = open(p, 'w+b'); f.truncate(100000)
            s = mmap.mmap(f.fileno(), 0); s[50000:50005] = b'hello'; s.flush()
            assert open(h + '/map', 'rb').read()[50000:50005] == b'hello'
            q = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE); q[0:3] = b'abc'
            assert open(p, 'rb').read(3) == b'\\0\\0\\0' and s[50000:50005] == b'hello'
            # Locks between processes of one guest.
            fcntl.lockf(f, fcntl.LOCK_EX)
            code = 'import fcntl,sys\\nf=open(sys.argv[1],"r+b")\\ntry: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB); print("got")\\nexcept OSError: print("busy")'
            assert subprocess.check_output([sys.executable, '-c', code, p]) == b'busy\\n'
            fcntl.lockf(f, fcntl.LOCK_UN)
            assert subprocess.check_output([sys.executable, '-c', code, p]) == b'got\\n'
            fcntl.flock(f, fcntl.LOCK_EX)
            g = open(p)
            try: fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB); raise SystemExit('flock')
            except BlockingIOError: pass
            # Holes.
            fd = os.open(m + '/holes', os.O_RDWR | os.O_CREAT); os.pwrite(fd, b'x', 1 << 20)
            assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 20 and os.lseek(fd, 0, os.SEEK_HOLE) == 0
            # Unlinked while open, and a name in any bytes.
            os.unlink(m + '/holes'); assert os.pread(fd, 1, 1 << 20) == b'x' and os.fstat(fd).st_nlink == 0
            n = m.encode() + b'/\\xff\\xfe\\n'; open(n, 'w').close(); assert b'\\xff\\xfe\\n' in os.listdir(m.encode())
            # Extended attributes.
            os.setxattr(p, 'user.k', b'v'); assert os.getxattr(h + '/map', 'user.k') == b'v' and os.listxattr(p) == ['user.k']
            os.removexattr(p, 'user.k'); assert os.listxattr(p) == []
            # Appending from two processes at once loses nothing.
            code = 'import os,sys\\nf=os.open(sys.argv[1],os.O_WRONLY|os.O_APPEND|os.O_CREAT)\\nfor i in range(500): os.write(f,b"0123456789abcde\\\\n")'
            ps = [subprocess.Popen([sys.executable, '-c', code, m + '/log']) for _ in range(3)]
            assert all(x.wait() == 0 for x in ps)
            d = open(m + '/log', 'rb').read(); assert d == b'0123456789abcde\\n' * 1500, len(d)
            # A file without a name gets one.
            t = os.open(m, os.O_TMPFILE | os.O_RDWR); os.write(t, b'tmp'); import ctypes; libc = ctypes.CDLL(None, use_errno=True); assert libc.linkat(-100, b'/proc/self/fd/%d' % t, -100, m.encode() + b'/named', 0x400) == 0
            assert open(h + '/named').read() == 'tmp'
            os.copy_file_range(t, os.open(m + '/copy', os.O_RDWR | os.O_CREAT), 3, 0, 0); assert open(h + '/copy').read() == 'tmp'
            # Renames with flags, through the system call.
            def r2(a, b, fl): return 0 if libc.renameat2(-100, (m + a).encode(), -100, (m + b).encode(), fl) == 0 else ctypes.get_errno()
            assert r2('/copy', '/named', 1) == errno.EEXIST and r2('/copy', '/log', 2) == 0
            assert os.path.getsize(h + '/log') == 3
            # Set-user-ID goes when somebody else writes.
            os.chmod(p, 0o6777); pid = os.fork()
            if pid == 0:
                os.setresgid(1, 1, 1); os.setresuid(1, 1, 1); w = os.open(p, os.O_WRONLY); os.write(w, b'z'); os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0 and os.stat(p).st_mode & 0o7777 == 0o777, oct(os.stat(p).st_mode)
            # Permissions hold.
            os.chmod(p, 0o600); pid = os.fork()
            if pid == 0:
                os.setresuid(1, 1, 1)
                try: open(p); os._exit(1)
                except PermissionError: os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            print('done')
            END
            python3 p.py $M $H
            """)
        #expect(out == "done\n")
    }

    @Test func manyEntriesAndManyProcesses() throws {
        let out = try run(
            """
            mkdir $M/d && cd $M/d
            seq 20000 | xargs touch
            ls | wc -l
            ls -l | wc -l
            find . -type f | wc -l
            for i in 1 2 3 4; do (mkdir w$i && cd w$i && seq 500 | xargs -n 1 -I N sh -c 'echo N > N.tmp && mv N.tmp N' && cat $(seq 500) | sha256sum) > $H/../sum$i & done; wait
            cat $H/../sum? | sort -u | wc -l
            rm -rf $M/d && ls $H | wc -l
            """)
        #expect(out.split(separator: "\n").map { $0.filter { $0 != " " } } == ["20000", "20001", "20000", "1", "0"])
    }
}
