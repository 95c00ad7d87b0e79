/// Wrong command lines, one a line: the exit status, the words after `nacelle-oci --root FOLDER` (or all, if they have a `--root`), and the first
/// line of the complaint; `…` at its end stands for more. BUNDLE is a good bundle's folder, `<N>` a word of N letters a.
let badCommands = #"""
    # verbs
    1 bogus => ERRO[0000] unknown verb "bogus": there are create, start, state, kill, delete, run, exec, list, …
    1 bogus c => ERRO[0000] unknown verb "bogus": there are create, start, state, kill, delete, run, exec, list, …
    1 Create c => ERRO[0000] unknown verb "Create": there are create, start, state, kill, delete, run, exec, list, …
    1 __wait-for-exec => ERRO[0000] unknown verb "__wait-for-exec": there are create, start, state, kill, delete, run, exec, list, …
    # names of containers
    1 create => Error: Missing expected argument '<id>'
    1 create '' => ERRO[0000] container id cannot be empty
    1 create a/b => ERRO[0000] invalid container ID format: a/b
    1 create .. => ERRO[0000] invalid container ID format: ..
    1 create . => ERRO[0000] invalid container ID format: .
    1 create 'a b' => ERRO[0000] invalid container ID format: a b
    1 create é => ERRO[0000] invalid container ID format: é
    1 create <1025> => ERRO[0000] invalid container ID format: longer than 1024 bytes
    1 create a b => Error: Unexpected argument 'b'
    1 run '' => ERRO[0000] container id cannot be empty
    1 start => Error: Missing expected argument '<id>'
    1 start '' => ERRO[0000] container id cannot be empty
    1 start a b => Error: Unexpected argument 'b'
    1 start absent => ERRO[0000] container does not exist
    1 start ../x => ERRO[0000] invalid container ID format: ../x
    1 state => Error: Missing expected argument '<id>'
    1 state '' => ERRO[0000] container id cannot be empty
    1 state absent => ERRO[0000] container does not exist
    1 state a/b => ERRO[0000] invalid container ID format: a/b
    1 state a b => Error: Unexpected argument 'b'
    1 kill => Error: Missing expected argument '<id>'
    1 kill absent => ERRO[0000] container does not exist
    1 kill '' TERM => ERRO[0000] container id cannot be empty
    1 kill absent FOO => ERRO[0000] unknown signal "FOO"
    1 kill absent 0 => ERRO[0000] unknown signal "0"
    1 kill absent 65 => ERRO[0000] unknown signal "65"
    1 kill absent SIG => ERRO[0000] unknown signal "SIG"
    1 kill absent TERM more => Error: Unexpected argument 'more'
    1 kill -- absent -1 => ERRO[0000] unknown signal "-1"
    1 delete => Error: Missing expected argument '<id>'
    1 delete absent => ERRO[0000] container does not exist
    1 delete --force => Error: Missing expected argument '<id>'
    1 delete --force a/b => ERRO[0000] invalid container ID format: a/b
    1 delete a b => Error: Unexpected argument 'b'
    1 pause => Error: Missing expected argument '<id>'
    1 pause absent => ERRO[0000] container does not exist
    1 resume absent => ERRO[0000] container does not exist
    1 ps => Error: Missing expected argument '<id>'
    1 ps absent => ERRO[0000] container does not exist
    1 exec => Error: Missing expected argument '<id>'
    255 exec absent => ERRO[0000] exec failed: container does not exist
    255 exec absent true => ERRO[0000] exec failed: container does not exist
    255 exec a/b true => ERRO[0000] exec failed: invalid container ID format: a/b
    # global flags
    1 --nonsense list => Error: Unknown option '--nonsense'
    1 --root => Error: Missing value for '--root <root>'
    1 --root '' list => Error: --root: is empty: the name of a folder is expected
    1 --root /proc/nonexistent/x create --bundle BUNDLE c => ERRO[0000] cannot lock the state of container c: mkdir /proc/nonexistent: no such file or directory
    1 --log /nonexistent/log list => unable to open the log: open /nonexistent/log: no such file or directory
    1 --log-format xml list => Error: The value 'xml' is invalid for '--log-format <log-format>'. Please provide one of 'text' and 'json'.
    1 --log-format => Error: Missing value for '--log-format <log-format>'
    1 --isolation gvisor list => Error: The value 'gvisor' is invalid for '--isolation <isolation>'. Please provide one of 'microvm', 'namespace' or 'auto'.
    1 --isolation => Error: Missing value for '--isolation <isolation>'
    1 --rootless maybe list => Error: --rootless: "maybe" is not one of true, false, auto
    1 --cgroup-manager cgmanager list => Error: The value 'cgmanager' is invalid for '--cgroup-manager <cgroup-manager>'. Please provide one of 'cgroupfs', 'systemd' or 'disabled'.
    1 --config /nonexistent list => cannot read the configuration file: open /nonexistent: no such file or directory
    1 --config => Error: Missing value for '--config <config>'
    1 --debug=1 list => Error: The option '--debug' does not take any value, but '1' was specified.
    # flags of verbs
    1 create --nonsense c => Error: Unknown option '--nonsense'
    1 create --bundle => Error: Missing value for '--bundle <bundle>'
    1 create --bundle /nonexistent c => ERRO[0000] JSON specification file /nonexistent/config.json not found
    1 create --bundle /dev/null c => ERRO[0000] cannot read config.json: open /dev/null/config.json: not a directory
    1 create --preserve-fds two --bundle BUNDLE c => Error: The value 'two' is invalid for '--preserve-fds <preserve-fds>'
    1 create --preserve-fds -1 --bundle BUNDLE c => Error: Missing value for '--preserve-fds <preserve-fds>'
    1 create --preserve-fds 1 --bundle BUNDLE c => ERRO[0000] --preserve-fds, LISTEN_FDS: descriptors of the host cannot be passed into a machine
    1 --isolation namespace create --preserve-fds 21 --bundle BUNDLE c => ERRO[0000] --preserve-fds: at most 20 are possible
    1 create --console-socket /s --bundle BUNDLE c => ERRO[0000] cannot use console socket if runc will not detach or allocate tty
    1 run --console-socket /s --bundle BUNDLE c => ERRO[0000] cannot use console socket if runc will not detach or allocate tty
    1 run --detach=no --bundle BUNDLE c => Error: The option '--detach' does not take any value, but 'no' was specified.
    1 create --pid-file /nonexistent/pid --bundle BUNDLE c => ERRO[0000] cannot write the pid file: open /nonexistent/pid.new: no such file or directory
    1 list --format xml => Error: The value 'xml' is invalid for '--format <format>'. Please provide one of 'table' and 'json'.
    1 list -q extra => Error: Unexpected argument 'extra'
    1 ps --format xml absent => Error: The value 'xml' is invalid for '--format <format>'. Please provide one of 'table' and 'json'.
    1 spec --bundle /nonexistent => ERRO[0000] cannot write /nonexistent/config.json: open /nonexistent/config.json: no such file or directory
    1 spec extra => Error: Unexpected argument 'extra'
    1 features extra => Error: Unexpected argument 'extra'
    1 doctor --json extra => Error: Unexpected argument 'extra'
    1 exec --nonsense c x => Error: Unknown option '--nonsense'
    255 exec --user root absent x => ERRO[0000] exec failed: container does not exist
    255 exec --user 0:wheel absent x => ERRO[0000] exec failed: container does not exist
    255 exec --user 1:2:3 absent x => ERRO[0000] exec failed: container does not exist
    255 exec --user 4294967296 absent x => ERRO[0000] exec failed: container does not exist
    1 exec --additional-gids x absent x => Error: The value 'x' is invalid for '--additional-gids <additional-gids>'
    1 exec --preserve-fds x absent x => Error: The value 'x' is invalid for '--preserve-fds <preserve-fds>'
    1 exec --preserve-fds -2 absent x => Error: Missing value for '--preserve-fds <preserve-fds>'
    255 exec --process /nonexistent absent => ERRO[0000] exec failed: container does not exist
    255 exec --process BUNDLE absent => ERRO[0000] exec failed: container does not exist
    255 exec --apparmor p absent x => ERRO[0000] exec failed: container does not exist
    255 exec --process-label l absent x => ERRO[0000] exec failed: container does not exist
    255 exec --cgroup g absent x => ERRO[0000] exec failed: container does not exist
    1 exec --env => Error: Missing value for '--env <env>'
    1 checkpoint => Error: Missing expected argument '<id>'
    1 checkpoint c => ERRO[0000] container does not exist
    1 restore c => ERRO[0000] restore is not supported yet: container c was not made
    1 update => Error: Missing expected argument '<id>'
    1 update absent => ERRO[0000] container does not exist
    1 update --memory => Error: Missing value for '--memory <memory>'
    1 update absent more => Error: Unexpected argument 'more'
    1 events absent => ERRO[0000] container does not exist
    1 events --interval soon absent => ERRO[0000] invalid value "soon" for flag -interval: parse error
    1 create --preserve-fds=-1 --bundle BUNDLE c => Error: --preserve-fds: -1 is no number of descriptors
    255 exec --preserve-fds=-2 absent x => ERRO[0000] exec failed: --preserve-fds: -2 is no number of descriptors
    """#
