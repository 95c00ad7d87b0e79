public import JSONText

/// What a container of the image is started with (image-spec, config.md, "config"), and what Docker keeps there besides.
public struct ExecutionParameters: ImageDocument {
    /// `user`, `uid`, `user:group`, `uid:gid` …; empty: the runtime's choice.
    public var user = ""
    /// `port`, `port/tcp` or `port/udp`.
    public var exposedPorts: Set<String> = []
    /// `NAME=VALUE`.
    public var env: [String] = []
    public var entrypoint: [String] = []
    public var cmd: [String] = []
    /// Directories that are to be volumes.
    public var volumes: Set<String> = []
    public var workingDir = ""
    public var labels: [String: String] = [:]
    /// `SIGNAL` by name or number.
    public var stopSignal: String?
    /// The first element of `entrypoint` or `cmd` is a whole command line. Windows.
    public var argsEscaped = false
    /// Docker's: in bytes, and relative weight; images that are built today have none.
    public var memory: Int64?
    public var memorySwap: Int64?
    public var cpuShares: Int64?
    public var healthcheck: Healthcheck?

    // Docker's own.
    public var hostname: String?
    public var domainname: String?
    /// What a RUN or CMD in shell form is run by, for builders.
    public var shell: [String] = []
    /// Instructions for a build on top of this image.
    public var onBuild: [String] = []
    /// Seconds between the stop signal and SIGKILL.
    public var stopTimeout: Int64?
    public var tty = false
    public var openStdin = false

    public init() {}

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        user = try members.string("User") ?? ""
        exposedPorts = try members.set("ExposedPorts")
        env = try members.strings("Env")
        entrypoint = try members.strings("Entrypoint")
        cmd = try members.strings("Cmd")
        volumes = try members.set("Volumes")
        workingDir = try members.string("WorkingDir") ?? ""
        labels = try members.stringMap("Labels")
        stopSignal = try members.string("StopSignal")
        argsEscaped = try members.flag("ArgsEscaped")
        memory = try members.integer("Memory")
        memorySwap = try members.integer("MemorySwap")
        cpuShares = try members.integer("CpuShares")
        healthcheck = try members.object("Healthcheck") { (cursor) throws(JSONShapeError) in try Healthcheck(cursor) }
        hostname = try members.string("Hostname")
        domainname = try members.string("Domainname")
        shell = try members.strings("Shell")
        onBuild = try members.strings("OnBuild")
        stopTimeout = try members.integer("StopTimeout")
        tty = try members.flag("Tty")
        openStdin = try members.flag("OpenStdin")
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("Hostname", hostname)
        writer.add("Domainname", domainname)
        writer.add("User", user.isEmpty ? nil : user)
        writer.add("ExposedPorts", set: exposedPorts)
        writer.add("Tty", flag: tty)
        writer.add("OpenStdin", flag: openStdin)
        writer.add("Env", list: env)
        writer.add("Entrypoint", list: entrypoint)
        writer.add("Cmd", list: cmd)
        writer.add("Healthcheck", healthcheck?.json)
        writer.add("ArgsEscaped", flag: argsEscaped)
        writer.add("Volumes", set: volumes)
        writer.add("WorkingDir", workingDir.isEmpty ? nil : workingDir)
        writer.add("OnBuild", list: onBuild)
        writer.add("Labels", map: labels)
        writer.add("StopSignal", stopSignal)
        writer.add("StopTimeout", stopTimeout)
        writer.add("Shell", list: shell)
        writer.add("Memory", memory)
        writer.add("MemorySwap", memorySwap)
        writer.add("CpuShares", cpuShares)
        return writer.value
    }
}

/// How Docker finds out whether a container works (reserved in image-spec, config.md). Times are in nanoseconds; absent or 0: the engine's own.
public struct Healthcheck: ImageDocument {
    /// Empty: inherited. `NONE`: none; `CMD` and arguments; `CMD-SHELL` and a command for the shell.
    public var test: [String] = []
    public var interval: Int64?
    public var timeout: Int64?
    public var startPeriod: Int64?
    public var startInterval: Int64?
    /// How many failures in a row it takes.
    public var retries: Int64?

    public init() {}

    public init(_ cursor: JSONCursor) throws(JSONShapeError) {
        let members = try cursor.object()
        test = try members.strings("Test")
        interval = try members.integer("Interval")
        timeout = try members.integer("Timeout")
        startPeriod = try members.integer("StartPeriod")
        startInterval = try members.integer("StartInterval")
        retries = try members.integer("Retries")
    }

    public var json: JSONValue {
        var writer = ObjectWriter()
        writer.add("Test", list: test)
        writer.add("Interval", interval)
        writer.add("Timeout", timeout)
        writer.add("StartPeriod", startPeriod)
        writer.add("StartInterval", startInterval)
        writer.add("Retries", retries)
        return writer.value
    }
}
